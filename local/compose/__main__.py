"""`python -m local.compose`: the keys that compose.yaml needs, and its test."""

import argparse
import sys

from local.compose.check import CheckFailed, check
from local.compose.env_file import write_env_file
from local.compose.project import ComposeFailed, installed_engine
from local.console import say
from local.layout import REPOSITORY
from local.prerequisites import MissingPrerequisite
from local.signals import Stopped, stoppable

DESCRIPTION = """\
compose.yaml: the whole system in containers.

  env    write .env with random keys, readable by you only; an existing file stays as it is
  test   start compose.yaml on free ports, post an event, see it counted, check the rights of every container
"""
EPILOG = """\
`test` needs the images of `make images`, and Docker with its compose plugin, or Podman. It has ports, keys and volumes
of its own, and deletes them.

Exit status: 0 success; 1 failure; 2 wrong usage; 130 interrupted.
"""
_EXPECTED = (CheckFailed, ComposeFailed, MissingPrerequisite)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with stoppable():
            _COMMANDS[options.command]()
    except _EXPECTED as error:
        print(f"compose: {error}", file=sys.stderr, flush=True)
        return 1
    except Stopped:
        return 130
    return 0


def _env() -> None:
    """`env`."""
    written = write_env_file(REPOSITORY / ".env")
    say("wrote .env with new keys" if written else ".env exists and stays as it is")


def _test() -> None:
    """`test`. Raises CheckFailed, ComposeFailed, MissingPrerequisite."""
    check(installed_engine())


_COMMANDS = {"env": _env, "test": _test}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m local.compose",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="command", help="env or test")
    return parser


if __name__ == "__main__":
    sys.exit(main())
