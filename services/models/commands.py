"""The commands of the model registry: each moves the pointer or reads manifests, and yields lines for people."""

import argparse
import time
from collections.abc import Iterable, Iterator
from typing import Any

from services.common import model_registry
from services.common.audit import command_line_user
from services.common.model_manifest import Json, ManifestSummary
from services.common.model_pointer import ChangeAuthor, Pointer, Variant
from services.common.object_store import ObjectStore

ABSENT = "–"


def list_models(store: ObjectStore, _options: argparse.Namespace) -> Iterator[str]:
    """One line a version, the newest first."""
    pointer, _etag = model_registry.read_pointer(store)
    versions = model_registry.published_versions(store)
    if not versions:
        yield "no model is published yet: `make train`, or `python -m spark run`"
    for version in reversed(versions):
        manifest = model_registry.read_manifest(store, version)
        yield f"{version}  {role(version, pointer):<16} {verdict(manifest):<24} {_hit_rate(manifest.metrics)}".rstrip()


def show(store: ObjectStore, options: argparse.Namespace) -> Iterator[str]:
    """One version in words."""
    pointer, _etag = model_registry.read_pointer(store)
    manifest = model_registry.read_manifest(store, options.version)
    for name, value in facts(manifest, pointer).items():
        yield f"{name:<22} {value}"
    gate = manifest.gate or {}
    for recipe in gate.get("recipes", []):
        yield f"  {recipe['name']:<10} {_hit_rate(_part(recipe, 'figures'))}  {recipe['refused'] or 'not refused'}"
    for check in gate.get("checks", []):
        yield f"  {'passed' if check['passed'] else 'FAILED':<10} {check['name']}: {check['detail']}"


def compare(store: ObjectStore, options: argparse.Namespace) -> Iterator[str]:
    """Two versions side by side; `*` marks where they differ."""
    pointer, _etag = model_registry.read_pointer(store)
    one, other = (
        facts(model_registry.read_manifest(store, version), pointer) for version in (options.version, options.other)
    )
    for name, value in one.items():
        yield f"{'*' if value != other[name] else ' '} {name:<22} {value}"
        if value != other[name]:
            yield f"  {'':<22} {other[name]}"


def activate(store: ObjectStore, options: argparse.Namespace) -> Iterator[str]:
    """Move the pointer, or start or stop a variant."""
    if options.stop_variant is not None:
        yield serving(model_registry.stop_variant(store, options.stop_variant, _author(options)))
    elif options.variant is not None:
        variant = Variant(options.variant, options.version, options.weight)
        yield serving(model_registry.start_variant(store, variant, _author(options)))
    else:
        yield serving(model_registry.activate(store, options.version, _author(options)))


def rollback(store: ObjectStore, options: argparse.Namespace) -> Iterator[str]:
    """Back to what served before."""
    yield serving(model_registry.rollback(store, _author(options)))


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


def verdict(manifest: ManifestSummary) -> str:
    """The gate's decision, in a word or two."""
    gate = manifest.gate or {}
    return f"{gate['verdict']} ({gate['winner']})" if {"verdict", "winner"} <= gate.keys() else ABSENT


def facts(manifest: ManifestSummary, pointer: Pointer | None) -> dict[str, str]:
    """What is worth comparing of a version, in words."""
    training, composition = manifest.training, manifest.composition or {}
    return {
        "version": manifest.version,
        "role": role(manifest.version, pointer) or ABSENT,
        "format": _known(manifest.format_version),
        "created": _known(manifest.created_at),
        "purchases": f"{training.get('from', ABSENT)} to {training.get('to', ABSENT)}",
        "customers, products": f"{_known(manifest.users)}, {_known(manifest.items)}",
        "ALS": _listed(manifest.settings, ("rank", "regularisation", "alpha", "iterations")),
        "composition": _listed(composition, composition),
        "found by": f"{sum(_part(manifest.search, 'tried').values())} trials",
        "quality": _hit_rate(manifest.metrics) or ABSENT,
        "gate": verdict(manifest),
        "reason": str((manifest.gate or {}).get("reason", ABSENT)),
    }


def _known(value: object) -> str:
    return ABSENT if value is None else str(value)


def _listed(values: Json, names: Iterable[str]) -> str:
    """The values that are set: a term with weight 0 is left out."""
    return ", ".join(f"{name} {_value(values[name])}" for name in names if values.get(name)) or ABSENT


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(f"{part['weight']:g} × half-life {part['half_life_h']:g} h" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _hit_rate(figures: Json) -> str:
    """Hit rate at 3 of customers with purchases and of all, per 1,000 orders, with its interval."""
    groups = ((name, _part(figures, name).get("hr@3")) for name in ("warm", "all"))
    found = [f"{name} {_per_1000(hits)}" for name, hits in groups if hits]
    return f"hits of 1,000 orders: {', '.join(found)}" if found else ""


def _per_1000(figure: list[float]) -> str:
    value, low, high = (each * 1000 for each in figure)
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def _part(document: Json, name: str) -> Json:
    """An object within a manifest; {} where it has none, as those of old formats."""
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _author(options: argparse.Namespace) -> ChangeAuthor:
    return ChangeAuthor(command_line_user(), options.note, time.time_ns() // 1_000_000)
