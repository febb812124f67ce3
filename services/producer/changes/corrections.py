"""The lines of a change: a row that counts is a sale; what no longer counts, or counts otherwise, is taken back.

Lines are never changed ([ADR 147](docs/adr/0147-changes-of-a-table-as-lines.md)). The event ids come from the place in
PostgreSQL's log and the row's key, so a record that comes again adds nothing.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.events import FUTURE_TOLERANCE_MS, Purchase, parse
from services.common.money import format_cents, parse_cents, parse_whole
from services.common.times import format_time, parse_time
from services.producer.changes.envelope import Change, Kinds, NotAChange, Op, Row, read_change, read_key
from services.producer.csv_rows import Unreadable
from services.producer.layouts.containers import TableRow
from services.producer.layouts.lines import COLUMNS, Lines
from services.producer.layouts.mapping import Mapping
from services.producer.source import BadFile

Event = dict[str, Any]

_MONEY = ("price", "amount", "discount", "refunded_amount")
_TIME = COLUMNS.index("event_time")
_EMPTY = re.compile(r"[0.]*|false|1970-01-01.*", re.ASCII)
# What figures and recommendations depend on. The time of a sale is that of its order, and stays.
_FIGURES = [COLUMNS.index(name) for name in COLUMNS if name not in ("event_time", "product_name", "event_id")]


class Corrections:
    """Turns changes into events, by a mapping of the table's columns."""

    def __init__(self, mapping: Mapping, rules: EventRules = DEFAULT_RULES) -> None:
        """Raises BadFile where the mapping asks for what a single row does not tell."""
        whole_order = [name for name in ("order_total", "order_refund") if name in mapping.columns]
        if mapping.fill or whole_order or mapping.decimal != ".":
            raise BadFile(
                "a mapping of change events has no fill, no order_total and no order_refund, since a row is not seen "
                "with the others of its order; and its decimal is '.'"
            )
        self._columns = sorted(mapping.sources)
        self._lines = Lines(mapping, self._columns)
        self._rules = rules
        sources = mapping.columns
        self._kinds = Kinds(
            mapping.sources,
            times=frozenset(sources["event_time"]),
            money=frozenset(name for field in _MONEY for name in sources.get(field, [])),
        )
        worth = [*sources.get("price", []), *sources.get("amount", [])]
        self._needed = [worth, *(sources[field] for field in ("event_time", "order_id", "product_id"))]

    def read(self, value: bytes | None) -> Change | None:
        """The change of a record; None where it is none. Raises NotAChange, BadFile."""
        change = read_change(value, self._kinds)
        for row in (change.before, change.after) if change else ():
            if row and (missing := [name for name in self._columns if name not in row]):
                raise BadFile(f"the table has no column {', '.join(missing)}: it has {', '.join(row)[:300]}")
        return change

    def events(self, change: Change, key: bytes | None, broker_ms: int) -> list[Event]:
        """The events of a change. `broker_ms` is when the broker took its record. Raises NotAChange.

        A row that is a sale but cannot be understood is an event too: it becomes a dead letter.
        """
        parts = read_key(key)
        before, after = self._line(change.before, change.at_ms), self._line(change.after, change.at_ms)
        sold = before is not None and self._counts(before, broker_ms)
        if change.op is Op.DELETE and not sold and not self._is_whole(change.before, before, parts):
            raise NotAChange(_NOT_WHOLE)
        if change.op is Op.UPDATE and change.before is None:
            raise NotAChange(_NOT_WHOLE)
        if sold and after is not None and _same(before, after):
            return []
        place = f"{change.position:x}:{_digest(parts)}"
        at = format_time(change.at_ms)
        events = [_event(_taken_back(before), f"{place}:out", at)] if sold and before else []
        if after is not None:
            name = f"row:{_digest(parts)}" if change.op is Op.READ else f"{place}:in"
            events.append(_event(after, name, at if sold else None))
        return events

    def _line(self, row: Row | None, at_ms: int) -> list[str] | None:
        """The row in the seed layout; None where there is no row, or it is no sale.

        A time more than a day after the change becomes that of the change: the validation would refuse the sale today
        and accept it later, so a later cancellation could not know whether it counted.
        """
        if row is None:
            return None
        table_row = TableRow([row[name] for name in self._columns], "")
        line = next(iter(self._lines.of([table_row])), None)
        if line is None or isinstance(line.row, Unreadable):
            return None
        if _is_ahead(line.row[_TIME], at_ms):
            line.row[_TIME] = format_time(at_ms)
        return line.row

    def _is_whole(self, row: Row | None, line: list[str] | None, key: tuple[tuple[str, str], ...]) -> bool:
        """Whether a deleted row that did not count is there with its values; a sale needs more of them."""
        if row is None or not _has_more_than(key, row):
            return False
        return line is None or all(any(not _is_empty(row[name]) for name in names) for names in self._needed)

    def _counts(self, line: Sequence[str], broker_ms: int) -> bool:
        """Whether the line was accepted when it was sold."""
        return isinstance(parse(msgspec.json.encode(_event(line, "x", None)), broker_ms, self._rules), Purchase)


_NOT_WHOLE = (
    "does not say what the row was: run ALTER TABLE … REPLICA IDENTITY FULL, and correct this order if the row counted"
)


def unread(value: bytes | None, reason: str) -> Event:
    """An event that becomes a dead letter with the record's text and the reason."""
    return {"reason": f"the record {reason}", "unread": (value or b"").decode(errors="replace")}


def _has_more_than(key: tuple[tuple[str, str], ...], row: Row) -> bool:
    """Whether a deleted row has more than its key: of others, Debezium has nothing but null, 0 and the like."""
    names = {name for name, _ in key}
    return not all(_is_empty(text) for name, text in row.items() if name not in names)


def _is_empty(text: str) -> bool:
    return _EMPTY.fullmatch(text) is not None


def _is_ahead(time: str, at_ms: int) -> bool:
    try:
        return parse_time(time) > at_ms + FUTURE_TOLERANCE_MS
    except ValueError:
        return False  # the validation says what is wrong with it


def _same(one: Sequence[str] | None, other: Sequence[str]) -> bool:
    return one is not None and all(one[at] == other[at] for at in _FIGURES)


def _taken_back(line: Sequence[str]) -> list[str]:
    """The line that makes an accepted one worth nothing."""
    fields = dict(zip(COLUMNS, line, strict=True))
    fields["quantity"] = str(-parse_whole(fields["quantity"] or "1"))
    if fields["amount"]:
        fields["amount"] = format_cents(-parse_cents(fields["amount"]))
    return [fields[name] for name in COLUMNS]


def _event(line: Sequence[str], event_id: str, time: str | None) -> Event:
    event = {name: text for name, text in zip(COLUMNS, line, strict=True) if text}
    return event | {"event_id": event_id} | ({"event_time": time} if time else {})


def _digest(key: tuple[tuple[str, str], ...]) -> str:
    return blake2b("\x1f".join(value for _, value in key).encode(), digest_size=8, person=b"change").hexdigest()
