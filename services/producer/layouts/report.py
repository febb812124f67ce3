"""What `inspect` prints. Pure."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from services.producer.layouts.containers import Container
from services.producer.layouts.inspection import Proposal
from services.producer.layouts.mapping import FIELDS, Mapping
from services.producer.layouts.review import Review

_WIDTH = 28
_SHOWN = ("event_time", "order_id", "product_id", "price", "quantity", "amount", "user_id", "category_code", "brand")


def mapped_report(path: Path, proposal: Proposal, found: Review) -> str:
    """How a file is read by a proposal, and what becomes of its rows."""
    mapping = proposal.mapping
    columns = [
        (name, " + ".join(mapping.columns[name]), proposal.examples[name]) for name in FIELDS if name in mapping.columns
    ]
    parts = [
        f"{path.name}: {_form(proposal.container, mapping)}",
        f"layout {mapping.layout}; {_values(mapping)}",
        "",
        *_table(("Tillstream's column", "in the file", "first value"), columns),
        *_conditions(mapping),
        *(f"note: {note}" for note in proposal.notes),
        "",
        *outcome(found),
    ]
    return "\n".join(parts)


def seed_report(path: Path, found: Review) -> str:
    """What becomes of the rows of a file that needs no mapping."""
    return "\n".join([f"{path.name}: the seed layout, which needs no mapping", "", *outcome(found)])


def outcome(found: Review) -> list[str]:
    """The first rows as they would be sent, and how many would be refused and why."""
    at = [(name, found.columns.index(name)) for name in _SHOWN if name in found.columns]
    used = [(name, each) for name, each in at if any(each < len(row) and row[each] for row in found.shown)]
    rows = [[row[each] if each < len(row) else "" for _, each in used] for row in found.shown]
    looked = f"{found.rows:,} rows" if found.whole else f"the first {found.rows:,} rows"
    left_out = f", {found.left_out:,} left out" if found.left_out else ""
    lines = [*_table([name for name, _ in used], rows), "", f"{looked}: {found.accepted:,} accepted{left_out}"]
    for reason, refusals in sorted(found.refused.items(), key=lambda item: -item[1].count):
        lines.append(f"  {refusals.count:,} refused, {reason.value}: row {refusals.row:,}, {refusals.detail}")
    return lines


def _form(container: Container, mapping: Mapping) -> str:
    text = mapping.text
    if container is Container.TEXT:
        delimiter = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}.get(
            text.delimiter, repr(text.delimiter)
        )
        return f"text in {text.encoding}, separated by {delimiter}, header in line {text.header_line}"
    return f"{container.value}{f', sheet {mapping.sheet}' if mapping.sheet else ''}"


def _values(mapping: Mapping) -> str:
    example = f"1{mapping.thousands}234{mapping.decimal}50"
    return f"numbers like {example}; dates {mapping.dates.value}; times without a zone are {mapping.zone} time"


def _conditions(mapping: Mapping) -> list[str]:
    lines = [f"an order's further rows take from its first: {', '.join(mapping.fill)}"] if mapping.fill else []
    lines += [f"only rows with {name} {' or '.join(values)}" for name, values in mapping.only.items()]
    return lines + [f"rows with {name} {_listed(values)} are left out" for name, values in mapping.skip.items()]


def _listed(values: Sequence[str]) -> str:
    return "not empty" if "*" in values else " or ".join(values)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    texts = [[_short(text) for text in row] for row in (header, *rows)]
    widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    ]


def _short(text: str) -> str:
    """One line of printable characters."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return printable if len(printable) <= _WIDTH else printable[: _WIDTH - 1] + "…"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)
