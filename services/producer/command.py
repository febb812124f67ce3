"""The producer's command line."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.producer.pace import Pace, parse_rate
from services.producer.plan import RowRange
from services.producer.source import default_source

MAX_SOURCE_LENGTH = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Command:
    """What was asked for. `metrics_port` None leaves the port to the settings."""

    files: list[Path]
    sources: list[str]
    row_range: RowRange
    rate: Callable[[], Pace]
    state: Path
    restart: bool
    metrics_port: int | None
    json: bool
    mapping: Path | None = None


def parse_command(arguments: Sequence[str]) -> Command:
    """Read the command line; on a mistake print one line of help and exit with status 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.source is not None and len(options.files) > 1:
        parser.error("--source names one source: give one file")
    sources = [options.source] if options.source is not None else [default_source(file) for file in options.files]
    for source in sources:
        if not _is_source(source):
            parser.error(f"{source!r} cannot name a source: use --source with 1 to {MAX_SOURCE_LENGTH} characters")
    if len(set(sources)) < len(sources):
        parser.error("two files would have the same source name: send them one by one with --source")
    return Command(
        options.files,
        sources,
        options.rows,
        lambda: parse_rate(options.rate),
        options.state,
        options.restart,
        options.metrics_port,
        options.json,
        options.mapping,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.producer",
        description="Send the rows of purchase files to Kafka, each once. A file in the seed layout is sent as it is; "
        "any other needs a mapping, which `inspect FILE` finds.",
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="CSV with a header line")
    add("--source", help="name of the source in its checkpoint and dead letters (default: the file's name without .gz)")
    add("--mapping", type=Path, metavar="FILE", help="how the files are read: what `inspect` has written")
    add("--rate", default="max", type=_checked(str, parse_rate), help="max, events a second, or x3600 (event times)")
    add(
        "--rows",
        default=RowRange(),
        type=_checked(RowRange.parse),
        help="START:END, rows from 1 or percentages, e.g. :90%%",
    )
    add("--state", default=Path(".tillstream/producer"), type=Path, help="folder of the checkpoints")
    add("--restart", action="store_true", help="send from the start again; a line that was sent before counts once")
    add("--metrics-port", type=int, help="telemetry port (default: TILLSTREAM_METRICS_PORT or 9101); 0 is off")
    add("--json", action="store_true", help="print the summary as one JSON object a file")
    return parser


def _checked(read: Callable[[str], T], check: Callable[[str], object] | None = None) -> Callable[[str], T]:
    """A reader for argparse which keeps the words of a ValueError."""

    def reader(text: str) -> T:
        try:
            if check is not None:
                check(text)
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return reader


def _is_source(name: str) -> bool:
    return 0 < len(name) <= MAX_SOURCE_LENGTH and name.isprintable()
