"""How a shop's file is read: a small TOML file that a person can edit.

A column of the event comes from one or more columns of the file. Those of `event_time` are joined (a date and a time);
of any others the first that is not empty counts.
"""

import codecs
import json
import tomllib
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any

import msgspec

from services.producer.layouts.amounts import STYLES, NumberStyle
from services.producer.layouts.times import DateOrder, zone_name
from services.producer.source import OPTIONAL, REQUIRED, BadFile

FORMAT = 1
NEEDED = ("event_time", "order_id", "product_id", "price")
# What a line's columns are computed from: docs/your-data.md says how.
COMPUTED = ("time_zone", "discount", "refunded_quantity", "refunded_amount", "order_total", "order_refund")
FIELDS = (*REQUIRED, *OPTIONAL, *COMPUTED)

Values = dict[str, list[str]]


class TextForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a file of text is split: the header is line `header_line`, from 1."""

    encoding: str = "utf-8"
    delimiter: str = ","
    header_line: int = 1


class Mapping(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which columns are what, and how their values are spelled.

    `fill`: columns of which an order's further rows may be empty. `only` and `skip`: rows are kept or left out by the
    values of a column, whatever the case of the letters.
    """

    format: int = FORMAT
    layout: str
    columns: Values
    text: TextForm = TextForm()
    sheet: str = ""
    decimal: str = "."
    thousands: str = ""
    dates: DateOrder = DateOrder.YEAR_FIRST
    zone: str = "UTC"
    fill: list[str] = []
    only: Values = {}
    skip: Values = {}

    @property
    def numbers(self) -> NumberStyle:
        """The style of the file's numbers."""
        return NumberStyle(self.decimal, self.thousands)

    @property
    def sources(self) -> set[str]:
        """The file's columns that the mapping names."""
        named = {name for names in self.columns.values() for name in names}
        return named | set(self.fill) | set(self.only) | set(self.skip)


def read_mapping(path: Path) -> Mapping:
    """The mapping in a file. Raises BadFile."""
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Mapping)
    except OSError as error:
        raise BadFile(f"the mapping {path} cannot be read: {error.strerror}") from None
    except (ValueError, msgspec.ValidationError) as error:  # TOML and UTF-8 errors are ValueErrors
        raise BadFile(f"the mapping {path} is not valid: {error}") from None
    problem = _problem(mapping)
    if problem:
        raise BadFile(f"the mapping {path} {problem}")
    return mapping


def write_mapping(mapping: Mapping, path: Path, file_name: str) -> None:
    """Write the mapping of a file. Raises BadFile."""
    try:
        path.write_text(as_toml(mapping, file_name), encoding="utf-8")
    except OSError as error:
        raise BadFile(f"the mapping {path} cannot be written: {error.strerror}; name another file with --out") from None


def as_toml(mapping: Mapping, file_name: str) -> str:
    """The mapping as TOML, with a line on each part."""
    values: dict[str, Any] = msgspec.to_builtins(mapping)
    lines = [
        f"# How {file_name} is read. Edit it where it is wrong; docs/your-data.md explains each line.",
        *_lines(values, ("format", "layout")),
        "\n# Marks of the numbers, and the order of dates that do not begin with the year.",
        *_lines(values, ("decimal", "thousands", "dates")),
        "# The time zone of times that name none.",
        *_lines(values, ("zone",)),
        "# An order's further rows take these from its first row where they are empty.",
        *_lines(values, ("fill",)),
        *(["# The sheet of the workbook.", *_lines(values, ("sheet",))] if mapping.sheet else []),
        "\n# Tillstream's column = the file's columns.",
        *_table("columns", values["columns"], FIELDS),
        "\n# Only for files of text.",
        *_table("text", values["text"]),
        "\n# [only] keeps the rows with one of these values in a column, [skip] leaves them out. For example:",
        '# [skip]\n# "Status" = ["cancelled"]',
        *_table("only", values["only"]),
        *_table("skip", values["skip"]),
    ]
    return "\n".join(lines) + "\n"


def _problem(mapping: Mapping) -> str:
    """What is wrong with it, and what to do; "" where nothing is."""
    unknown = sorted(set(mapping.columns) - set(FIELDS))
    missing = missing_fields(mapping.columns)
    marks = f"{mapping.decimal} {mapping.thousands}"
    problems = {
        f"has format {mapping.format}, this version reads {FORMAT}: inspect the file again": mapping.format != FORMAT,
        f"names unknown columns: {', '.join(unknown)} (known: {', '.join(FIELDS)})": unknown,
        f"has no column for {', '.join(missing)}: add it to [columns]": missing,
        f"has unusable marks {marks!r}: decimal is '.' or ',', thousands is '', '.', ',', ' ' or an apostrophe, "
        "and they differ": mapping.numbers not in STYLES,
        f"has an unknown zone {mapping.zone!r}: use a name such as Europe/Berlin": not _is_iana(mapping.zone),
        f"has an unknown encoding {mapping.text.encoding!r}": not _is_encoding(mapping.text.encoding),
        f"has the delimiter {mapping.text.delimiter!r}: it is one character": len(mapping.text.delimiter) != 1,
        "has a header_line below 1": mapping.text.header_line < 1,
    }
    return next((problem for problem, is_there in problems.items() if is_there), "")


def _is_iana(zone: str) -> bool:
    return zone_name(zone) == zone


def _is_encoding(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True


def missing_fields(columns: AnyMapping[str, list[str]]) -> list[str]:
    """The needed columns that nothing is mapped to. A price may follow from the amount."""
    given = {name for name, sources in columns.items() if sources}
    return [name for name in NEEDED if name not in given and not (name == "price" and "amount" in given)]


def _table(name: str, values: AnyMapping[str, Any], order: tuple[str, ...] = ()) -> list[str]:
    names = [key for key in order if key in values] if order else list(values)
    return [f"[{name}]", *_lines(values, names)] if names else []


def _lines(values: AnyMapping[str, Any], names: "tuple[str, ...] | list[str]") -> list[str]:
    return [f"{_key(name)} = {json.dumps(values[name], ensure_ascii=False)}" for name in names]


def _key(name: str) -> str:
    plain = name.replace("_", "").replace("-", "")
    return name if plain.isascii() and plain.isalnum() else json.dumps(name, ensure_ascii=False)
