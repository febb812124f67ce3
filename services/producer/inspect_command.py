"""`python -m services.producer inspect FILE`: how a file would be read, and the mapping that reads it so."""

import argparse
import codecs
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from services.common.entrypoint import refuse, run_command
from services.common.settings import ShopSettings
from services.producer.layouts.inspection import Answers, Undecided
from services.producer.layouts.mapping import Mapping, Values, read_mapping, write_mapping
from services.producer.layouts.presets import PRESETS
from services.producer.layouts.report import mapped_report, seed_report
from services.producer.layouts.review import mapping_needed, review
from services.producer.layouts.times import DateOrder, zone_name
from services.producer.source import BadFile

_PROGRAM = "python -m services.producer inspect"
_DESCRIPTION = """\
Find out how a file of purchases is read: container (CSV, .gz, .zip, .xlsx, Parquet, JSON lines), encoding, delimiter,
numbers, times, and which column is what. Prints it with the first rows as they would be sent and the rows that would be
refused, and writes a mapping, which can be edited and is passed with --mapping (make: MAPPING=).

What the file does not decide is asked on a terminal. Elsewhere the answer is given with an option.

Exit status: 0 done, 2 the file cannot be read, or a question is open.
"""


def default_mapping(file: Path) -> Path:
    """Where a file's mapping is written: next to it, `orders.csv.gz` → `orders.mapping.toml`."""
    stem = file.name.removesuffix(".gz").removesuffix(".zip").rsplit(".", 1)[0]
    return file.with_name(f"{stem or file.name}.mapping.toml")


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    answers = Answers(
        **{name: getattr(options, name) for name in ("preset", "delimiter", "sheet", "decimal", "dates")},
        encoding=options.encoding or "",
        zone=options.zone or "",
        columns=_pairs(options.column),
        only=_pairs(options.only),
    )
    out = options.out or default_mapping(options.file)
    return run_command(
        "inspect",
        ShopSettings,
        lambda shop: _inspect(options.file, answers, out, shop.time_zone, silent_on_seed=options.if_needed),
        {BadFile: 2},
    )


def _inspect(file: Path, answers: Answers, out: Path, shop_zone: str, *, silent_on_seed: bool) -> int:
    while True:
        try:
            proposal = mapping_needed(file, answers, shop_zone)
        except Undecided as question:
            if not sys.stdin.isatty():
                return refuse("inspect", 2, _unanswered(question))
            answers = _answered(answers, _asked(question))
        else:
            break
    if proposal is None and silent_on_seed:
        return 0
    if proposal is None:
        print(seed_report(file, review(file, None)), flush=True)
        return 0
    print(mapped_report(file, proposal, review(file, proposal.mapping)), flush=True)
    _keep(proposal.mapping, out, file.name)
    print(f"\nmapping: {out}", flush=True)
    return 0


def _keep(mapping: Mapping, out: Path, file_name: str) -> None:
    """Write the mapping, but not over another one, which somebody may have edited. Raises BadFile."""
    if out.exists() and read_mapping(out) != mapping:
        raise BadFile(f"{out} says something else and is kept: delete it, or name another file with --out")
    write_mapping(mapping, out, file_name)


def _unanswered(question: Undecided) -> str:
    choices = "; ".join(f"{option} '{value}' for {answer}" for answer, (option, value) in question.choices.items())
    return f"{question.question} Decide with {choices}"


def _asked(question: Undecided) -> tuple[str, str]:
    """The option that a person on the terminal chooses."""
    choices = list(question.choices.items())
    print(question.question)
    for number, (answer, _) in enumerate(choices, 1):
        print(f"  {number}  {answer}")
    while True:
        text = input(f"1 to {len(choices)}: ").strip()
        if text.isdecimal() and 1 <= int(text) <= len(choices):
            return choices[int(text) - 1][1]


def _answered(answers: Answers, choice: tuple[str, str]) -> Answers:
    option, value = choice
    match option:
        case "--column":
            return replace(answers, columns=answers.columns | _pairs([_pair(value)]))
        case "--only":
            return replace(answers, only=answers.only | _pairs([_pair(value)]))
        case "--sheet":
            return replace(answers, sheet=value)
        case "--decimal":
            return replace(answers, decimal=value)
        case _:
            return replace(answers, dates=value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("file", type=Path, metavar="FILE")
    add("--out", type=Path, metavar="FILE", help="where the mapping goes (default: NAME.mapping.toml next to the file)")
    add("--if-needed", action="store_true", help="say nothing about a file in the seed layout")
    presets = ["generic", *(preset.name for preset in PRESETS)]
    add("--preset", default="", choices=presets, help="the layout (default: by the names of the columns)")
    add("--column", action="append", default=[], type=_pair, metavar="OURS=THEIRS", help="a column; repeat for more")
    add("--only", action="append", default=[], type=_pair, metavar="COLUMN=VALUE", help="only rows with this value")
    add("--dates", default="", choices=[order.value for order in DateOrder], help="what comes first in 03/04/2024")
    add("--decimal", default="", choices=[".", ","], help="the decimal mark")
    add("--zone", type=_zone, help="zone of times without one (default: TILLSTREAM_TIME_ZONE)")
    add("--sheet", default="", help="the sheet of a workbook")
    add("--encoding", type=_encoding, help="the encoding of a text")
    add("--delimiter", default="", help="the delimiter of a text")
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _pairs(pairs: Sequence[tuple[str, str]]) -> Values:
    values: Values = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _zone(text: str) -> str:
    name = zone_name(text)
    if name is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time zone such as Europe/Berlin")
    return name


def _encoding(text: str) -> str:
    try:
        return codecs.lookup(text).name
    except LookupError:
        raise argparse.ArgumentTypeError(f"{text!r} is no encoding such as cp1252") from None
