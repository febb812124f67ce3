"""The command line of the model registry: options and help."""

import argparse

from services.models import commands

DESCRIPTION = """\
The published models: list them, look at one, compare two, and say which one serves.

  list       every version, newest first: which one serves, the gate's decision, offline quality
  show       one version's manifest as text: data, recipe, the gate's reasons and checks
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

Versions never change. These commands only move the pointer, models/als/current.json, by a conditional write: of two
writers at once, one gets an error. The recommender follows within seconds, without a failed answer. A version that the
gate refused needs a note that says why it should serve. The bucket is that of TILLSTREAM_S3_ENDPOINT, …_BUCKET and
keys; for the stack of `make up`:  eval "$(python -m local env)".

Exit status: 0 done, 1 refused or not reachable (one line says why), 2 wrong usage or settings.
"""


def command_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m services.models",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="command")
    subparsers.add_parser("list", help="every version, newest first").set_defaults(command=commands.list_models)
    show = subparsers.add_parser("show", help="one version in words")
    show.add_argument("version")
    show.set_defaults(command=commands.show)
    compare = subparsers.add_parser("compare", help="two versions side by side")
    compare.add_argument("version")
    compare.add_argument("other")
    compare.set_defaults(command=commands.compare)
    _add_activate(subparsers.add_parser("activate", help="serve a version from now on, or as a variant"))
    rollback = subparsers.add_parser("rollback", help="serve again what served before this")
    rollback.add_argument("--note", default="", help="why, for those who look later")
    rollback.set_defaults(command=commands.rollback)
    return parser


def _add_activate(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("version", nargs="?", help="a version of `list`")
    what.add_argument("--stop-variant", metavar="NAME", help="give its customers back to the live version")
    parser.add_argument("--note", default="", help="why; a version that the gate refused needs one")
    parser.add_argument("--variant", metavar="NAME", help="answer only a share of the customers, under this name")
    parser.add_argument("--weight", type=_share, default=0.1, help="that share (default: 0.1)")
    parser.set_defaults(command=commands.activate)


def _share(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1, such as 0.1")
    return weight
