"""Command line of the models' registry: what there is, what serves, and how to change that. No Spark."""

import argparse
import getpass
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from services.common import model_registry
from services.common.conditional_write import Contended
from services.common.entrypoint import refuse, run_command
from services.common.model_pointer import ChangeAuthor, Pointer, RegistryError, Variant
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings, ServiceSettings

DESCRIPTION = """\
The published models: list them, look at one, compare two, and say which one serves.

  list       every version, newest first: what serves, what the gate said, how good it was
  show       one version's manifest in words: data, recipe, the gate's reasons and checks
  compare    two versions side by side
  activate   serve a version from now on, or with --variant let it answer a share of the customers
  rollback   serve again what served before this
"""
EPILOG = """\
examples:
  python -m services.models list
  python -m services.models rollback --note "the new one shows cables to everybody"
  python -m services.models activate 20261124T031500Z-1f2e3d --note "back to before the sale"
  python -m services.models activate 20261125T031500Z-a1b2c3 --variant new --weight 0.1
  python -m services.models activate --stop-variant new

Versions never change, and what is here only moves models/als/current.json, by a conditional write: of two people who
move it at once, one is told so. The recommender follows within seconds, without a failed answer. A version that the
gate refused can be activated with a note that says why. The bucket is that of TILLSTREAM_S3_ENDPOINT, …_BUCKET and
keys; for the stack of `make up`:  eval "$(python -m local env)".

Exit status: 0 done, 1 refused or not reachable (one line says why), 2 wrong usage or settings.
"""
Json = dict[str, Any]
ABSENT = "–"
_PREFIX = "error"


class RegistrySettings(ServiceSettings, S3Settings):
    """Where the models are."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    statuses = {RegistryError: 1, Contended: 1}
    return run_command(_PREFIX, RegistrySettings, lambda settings: _run(options, settings), statuses)


def _run(options: argparse.Namespace, settings: RegistrySettings) -> int:
    with closing(ObjectStore(settings)) as store:
        try:
            print("\n".join(options.command(store, options)))
        except (BotoCoreError, ClientError) as error:
            return refuse(_PREFIX, 1, f"the bucket {store.bucket!r} does not answer: {error}")
    return 0


def list_command(store: ObjectStore, _options: argparse.Namespace) -> Iterator[str]:
    """One line a version, the newest first."""
    pointer, _etag = model_registry.read_pointer(store)
    versions = model_registry.published_versions(store)
    if not versions:
        yield "no model is published yet: `make train`, or `python -m spark run`"
    for version in reversed(versions):
        manifest = model_registry.read_manifest(store, version)
        yield f"{version}  {role(version, pointer):<16} {verdict(manifest):<24} {_quality(manifest)}".rstrip()


def show_command(store: ObjectStore, options: argparse.Namespace) -> Iterator[str]:
    """One version in words."""
    pointer, _etag = model_registry.read_pointer(store)
    manifest = model_registry.read_manifest(store, options.version)
    for name, value in facts(options.version, manifest, pointer).items():
        yield f"{name:<22} {value}"
    gate = _part(manifest, "gate")
    for recipe in gate.get("recipes", []):
        yield f"  {recipe['name']:<10} {_hit_rate(_part(recipe, 'figures'))}  {recipe['refused'] or 'not refused'}"
    for check in gate.get("checks", []):
        yield f"  {'passed' if check['passed'] else 'FAILED':<10} {check['name']}: {check['detail']}"


def compare_command(store: ObjectStore, options: argparse.Namespace) -> Iterator[str]:
    """Two versions side by side; `*` marks where they differ."""
    pointer, _etag = model_registry.read_pointer(store)
    one, other = (
        facts(version, model_registry.read_manifest(store, version), pointer)
        for version in (options.version, options.other)
    )
    for name, value in one.items():
        yield f"{'*' if value != other[name] else ' '} {name:<22} {value}"
        if value != other[name]:
            yield f"  {'':<22} {other[name]}"


def activate_command(store: ObjectStore, options: argparse.Namespace) -> Iterator[str]:
    """Move the pointer, or start or stop a variant."""
    if options.stop_variant is not None:
        yield serving(model_registry.stop_variant(store, options.stop_variant))
    elif options.variant is not None:
        variant = Variant(options.variant, options.version, options.weight)
        yield serving(model_registry.start_variant(store, variant, _change(options)))
    else:
        yield serving(model_registry.activate(store, options.version, _change(options)))


def rollback_command(store: ObjectStore, options: argparse.Namespace) -> Iterator[str]:
    """Back to what served before."""
    yield serving(model_registry.rollback(store, _change(options)))


def serving(pointer: Pointer) -> str:
    """What serves now, in words."""
    shares = [f"; {each.name}: {each.version} for {each.weight:.0%} of the customers" for each in pointer.variants]
    return f"{pointer.version} serves{''.join(shares)}"


def role(version: str, pointer: Pointer | None) -> str:
    """What a version does today."""
    if pointer is None:
        return ""
    if pointer.version == version:
        return "live"
    variants = [f"{each.name} {each.weight:.0%}" for each in pointer.variants if each.version == version]
    return ", ".join(variants) or ("before" if pointer.previous == version else "")


def verdict(manifest: Json) -> str:
    """What the gate said, in a word or two."""
    gate = _part(manifest, "gate")
    return f"{gate['verdict']} ({gate['winner']})" if {"verdict", "winner"} <= gate.keys() else ABSENT


def facts(version: str, manifest: Json, pointer: Pointer | None) -> dict[str, str]:
    """What is worth comparing of a version, in words."""
    training, gate, settings = (_part(manifest, name) for name in ("training", "gate", "settings"))
    return {
        "version": version,
        "role": role(version, pointer) or ABSENT,
        "format": str(manifest.get("format_version", ABSENT)),
        "created": str(manifest.get("created_at", ABSENT)),
        "purchases": f"{training.get('from', ABSENT)} to {training.get('to', ABSENT)}",
        "customers, products": f"{manifest.get('users', ABSENT)}, {manifest.get('items', ABSENT)}",
        "ALS": _listed(settings, ("rank", "regularisation", "alpha", "iterations")),
        "composition": _listed(_part(manifest, "composition"), _part(manifest, "composition")),
        "found by": f"{sum(_part(_part(manifest, 'search'), 'tried').values())} trials",
        "quality": _quality(manifest) or ABSENT,
        "gate": verdict(manifest),
        "reason": str(gate.get("reason", ABSENT)),
    }


def _listed(values: Json, names: Iterable[str]) -> str:
    """Those that are anything: a part with weight 0 is none."""
    return ", ".join(f"{name} {_value(values[name])}" for name in names if values.get(name)) or ABSENT


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(f"{part['weight']:g} × half-life {part['half_life_h']:g} h" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _quality(manifest: Json) -> str:
    return _hit_rate(_part(manifest, "metrics"))


def _hit_rate(figures: Json) -> str:
    """Hit rate at 3 of customers with purchases and of all, per 1,000 orders, with its interval."""
    groups = ((name, _part(figures, name).get("hr@3")) for name in ("warm", "all"))
    found = [f"{name} {_per_1000(hits)}" for name, hits in groups if hits]
    return f"hits of 1,000 orders: {', '.join(found)}" if found else ""


def _per_1000(figure: list[float]) -> str:
    value, low, high = (each * 1000 for each in figure)
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def _part(document: Json, name: str) -> Json:
    """A part of a manifest; {} where it has none, as those of old formats."""
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _change(options: argparse.Namespace) -> ChangeAuthor:
    return ChangeAuthor(f"{getpass.getuser()} by command line", options.note, time.time_ns() // 1_000_000)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m services.models",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("list", help="every version, newest first").set_defaults(command=list_command)
    show = commands.add_parser("show", help="one version in words")
    show.add_argument("version")
    show.set_defaults(command=show_command)
    compare = commands.add_parser("compare", help="two versions side by side")
    compare.add_argument("version")
    compare.add_argument("other")
    compare.set_defaults(command=compare_command)
    _add_activate(commands.add_parser("activate", help="serve a version from now on, or as a variant"))
    rollback = commands.add_parser("rollback", help="serve again what served before this")
    rollback.add_argument("--note", default="", help="why, for those who look later")
    rollback.set_defaults(command=rollback_command)
    return parser


def _add_activate(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("version", nargs="?", help="a version of `list`")
    what.add_argument("--stop-variant", metavar="NAME", help="give its customers back to the live version")
    parser.add_argument("--note", default="", help="why; a version that the gate refused needs one")
    parser.add_argument("--variant", metavar="NAME", help="answer only a share of the customers, under this name")
    parser.add_argument("--weight", type=_share, default=0.1, help="that share (default: 0.1)")
    parser.set_defaults(command=activate_command)


def _share(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1, such as 0.1")
    return weight


if __name__ == "__main__":
    sys.exit(main())
