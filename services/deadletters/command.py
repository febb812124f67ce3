"""The command line of the dead letters: options and help."""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from services.common.events import Reason
from services.common.times import parse_time

_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_RAW = argparse.RawDescriptionHelpFormatter
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_INTRODUCTION = """\
Look at the records that Tillstream could not accept, repair them and send them again.

  list     the newest of them           show     one of them, whole
  orders   orders that changed between two exports: what counted, what did not
  stats    how many, why, from where    repair   try a repair; writes a file, sends nothing
                                        replay   send repaired ones; each counts once, however often it is sent
"""
_EXAMPLES = """\
a morning with dead letters:
  python -m services.deadletters stats --since 24h
  python -m services.deadletters list --reason bad_time --source kz.csv
  python -m services.deadletters show kz.csv:1234
  python -m services.deadletters repair --with repairs.py --reason bad_time --dry-run
  python -m services.deadletters repair --with repairs.py --reason bad_time
  python -m services.deadletters replay repaired.jsonl

Kafka and Redis are those of TILLSTREAM_KAFKA_BOOTSTRAP and TILLSTREAM_REDIS_URL; for the stack of `make up`:
  eval "$(python -m local env)"
More: docs/runbooks/dead-letters.md
"""
_REPAIRS = """\
repairs.py holds one function. It gets the payload's fields and the dead letter (name, reason, detail, source, text,
failed), changes what is wrong and returns the event, or None to leave the dead letter out:

  def repair(event, dead_letter):
      if dead_letter.reason == "bad_price":
          event["price"] = event["price"].replace(",", ".")
      return event

A row of a file comes with its file's columns as names, all texts. A JSON number with a fraction comes as text; give
prices back as text, int or Decimal. Identity and origin (event_id, replay_of) are set for you.
"""


def parse_command(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; on a mistake print one line of help and exit with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m services.deadletters", description=_INTRODUCTION, epilog=_EXAMPLES, formatter_class=_RAW
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|orders|show|stats|repair|replay")
    _add_list(commands)
    _add_orders(commands)
    _add_show(commands)
    _add_stats(commands)
    _add_repair(commands)
    replay = _add_replay(commands)
    options = parser.parse_args(arguments)
    if options.command == "replay" and (bool(options.file) + bool(options.repairs) + options.as_is) != 1:
        replay.error("say what to send: a file that `repair` has written, --with repairs.py, or --as-is")
    if options.command == "replay" and options.file and _filtered(options):
        replay.error("a file is sent whole: filters go with --with and --as-is, or with `repair`")
    return options


def _add_list(commands: _Commands) -> None:
    parser = commands.add_parser("list", help="the newest dead letters", description="Print dead letters, newest last.")
    _add_filters(parser, limit=50, limited="at most so many, the newest; 0 is all of them")
    _add_json(parser)


def _add_orders(commands: _Commands) -> None:
    parser = commands.add_parser(
        "orders",
        help="orders that changed",
        description="Print the orders of order_changed dead letters line by line: = counted and still there, - counted "
        "and gone from the newest export, + new and not counted. Reads the purchases topic.",
    )
    _add_filters(parser, reason=False)
    _add_json(parser)


def _add_show(commands: _Commands) -> None:
    parser = commands.add_parser(
        "show", help="one dead letter", description="Print one dead letter with its headers and payload."
    )
    parser.add_argument("origin", help="<file>:<row> or <topic>/<partition>/<offset>, as `list` prints it")
    _add_json(parser)


def _add_stats(commands: _Commands) -> None:
    parser = commands.add_parser(
        "stats", help="counts", description="Count dead letters by reason, source and day (UTC)."
    )
    _add_filters(parser)
    _add_json(parser)


def _add_repair(commands: _Commands) -> None:
    parser = commands.add_parser(
        "repair",
        help="try a repair",
        description="Repair dead letters and print which would be accepted. Nothing is sent.",
        epilog=_REPAIRS,
        formatter_class=_RAW,
    )
    parser.add_argument("--with", dest="repairs", type=Path, required=True, metavar="repairs.py", help="see below")
    parser.add_argument("--out", type=Path, default=Path("repaired.jsonl"), help="the file to write: an event a line")
    parser.add_argument("--dry-run", action="store_true", help="print the result, write no file")
    _add_filters(parser, limit=0, limited="at most so many, the first; 0 is all of them")


def _add_replay(commands: _Commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "replay",
        help="send repaired dead letters",
        description="Send repaired events to the purchases topic. An event that was replayed before counts nothing.",
        epilog=_REPAIRS,
        formatter_class=_RAW,
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="repaired.jsonl", help="what `repair` has written")
    parser.add_argument("--with", dest="repairs", type=Path, metavar="repairs.py", help="repair and send in one step")
    parser.add_argument("--as-is", action="store_true", help="send payloads unchanged: the rule has changed since")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_filters(parser, limit=0, limited="at most so many, the first; 0 is all of them")
    return parser


def _filtered(options: argparse.Namespace) -> bool:
    return bool(options.reason or options.since or options.until or options.source or options.order or options.limit)


def _add_filters(
    parser: argparse.ArgumentParser, limit: int | None = None, limited: str = "", *, reason: bool = True
) -> None:
    add = parser.add_argument
    codes = [*Reason, "unnamed"]
    if reason:
        add("--reason", action="append", choices=codes, metavar="CODE", help=f"may be repeated: {', '.join(codes)}")
    add("--since", type=_checked(parse_when), metavar="WHEN", help="refused then or later: 2h, 7d or an RFC 3339 time")
    add("--until", type=_checked(parse_when), metavar="WHEN", help="refused before then")
    add("--source", help="a file's name, a topic, or <topic>/<partition>")
    add("--order", metavar="ID", help="of one order")
    if limit is not None:
        add("--limit", type=_checked(_count), default=limit, metavar="N", help=f"{limited} (default: {limit})")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def parse_when(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time, or of so long ago: `90s`, `30m`, `2h`, `7d`. Raises ValueError."""
    if ago := _AGO.fullmatch(text):
        return time.time_ns() // 1_000_000 - int(ago[1]) * _UNIT_MS[ago[2]]
    return parse_time(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a number of dead letters")
    return int(text)


def _checked(read: Callable[[str], int]) -> Callable[[str], int]:
    """A reader for argparse which keeps the words of a ValueError."""

    def reader(text: str) -> int:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return reader
