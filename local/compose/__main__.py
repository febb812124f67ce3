"""`python -m local.compose`: the keys that compose.yaml needs, its containers, and its test."""

import argparse
import sys

from local.compose.check import CheckFailed, check
from local.compose.env_file import write_env_file
from local.compose.project import ComposeFailed, Project, installed_engine
from local.console import say
from local.layout import REPOSITORY
from local.prerequisites import MissingPrerequisite
from local.signals import Stopped, stoppable

DESCRIPTION = """\
compose.yaml: the whole system in containers.

  env         write .env with random keys, readable by you only; an existing file stays as it is
  up [NAME…]  start services and what they need, e.g. demo-stream demo-model; none: all that are in no profile
  down        stop everything; the data stays
  test        start compose.yaml on free ports, post an event, see it counted, check the rights of every container
"""
EPILOG = """\
With Docker, `docker compose up` and `docker compose down` do the same as `up` and `down`; with Podman, podman-compose
alone does not keep the order of compose.yaml. All need the images of `make images`. `test` has ports, keys and volumes
of its own, and deletes them.

Exit status: 0 success; 1 failure; 2 wrong usage; 130 interrupted.
"""
_NAME = "tillstream"  # as in compose.yaml
_EXPECTED = (CheckFailed, ComposeFailed, MissingPrerequisite)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with stoppable():
            options.run(options)
    except _EXPECTED as error:
        print(f"compose: {error}", file=sys.stderr, flush=True)
        return 1
    except Stopped:
        return 130
    return 0


def _env(_options: argparse.Namespace) -> None:
    written = write_env_file(REPOSITORY / ".env")
    say("wrote .env with new keys" if written else ".env exists and stays as it is")


def _up(options: argparse.Namespace) -> None:
    _installation().up(options.names)


def _down(_options: argparse.Namespace) -> None:
    _installation().down(with_data=False)


def _test(_options: argparse.Namespace) -> None:
    check(installed_engine())


def _installation() -> Project:
    return Project(installed_engine(), _NAME, {})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m local.compose",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("env", help="write .env").set_defaults(run=_env)
    up = commands.add_parser("up", help="start services")
    up.add_argument("names", nargs="*", metavar="NAME", help="e.g. demo-stream; none: all that are in no profile")
    up.set_defaults(run=_up)
    commands.add_parser("down", help="stop everything").set_defaults(run=_down)
    commands.add_parser("test", help="test compose.yaml").set_defaults(run=_test)
    return parser


if __name__ == "__main__":
    sys.exit(main())
