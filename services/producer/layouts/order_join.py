"""Orders and their lines, exported as two tables, as one table with a row for each line. Pure.

The order's columns come first. A column's name stays as long as it can only mean one thing: what stands for a line's
value in the table of orders (a price, an amount) is renamed `order_NAME`, what stands for the order's in the table of
lines (a time, a customer) `line_NAME`.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import NamedTuple

from services.common.spellings import without_float
from services.producer.csv_rows import Row, Unreadable, csv_line, of_width
from services.producer.layouts.containers import Table, TableRow
from services.producer.layouts.presets import SYNONYMS, plain_name, present
from services.producer.source import BadFile

_OF_THE_ORDER = ("event_time", "user_id", "time_zone")
_OF_THE_LINE = tuple(name for name in SYNONYMS if name not in (*_OF_THE_ORDER, "order_id"))

Columns = tuple[str, ...]
Write = Callable[[str], object]  # takes a row as CSV, without the line's end


class Key(NamedTuple):
    """The column of the order's id in each of the two tables."""

    orders: str
    lines: str


@dataclass(slots=True)
class Counts:
    """What became of the lines. `waiting`: their order is not there or not certain; `example` is such an order."""

    joined: int = 0
    unreadable: int = 0
    waiting: int = 0
    example: str = ""


def find_key(orders: Columns, lines: Columns, given: str) -> Key:
    """The key, given as `COLUMN` or `ORDERS=LINES`, or found by the columns' names. Raises BadFile."""
    if given:
        first, _, second = given.partition("=")
        key = Key(first, second or first)
        if key.orders not in orders or key.lines not in lines:
            raise BadFile(f"there is no key {given!r}: orders have {_listed(orders)}; lines have {_listed(lines)}")
        return key
    names = SYNONYMS["order_id"]
    of_line = present(names, lines)[:1]
    same = [name for name in orders for line in of_line if plain_name(name) == plain_name(line)]
    candidates = same or present(("id",), orders) or present(names, orders)
    if not of_line or len(candidates) != 1:
        raise BadFile(
            "which columns hold the order's id is not certain: name them with --on ORDERS=LINES; "
            f"orders have {_listed(orders)}; lines have {_listed(lines)}"
        )
    return Key(candidates[0], of_line[0])


def _listed(columns: Columns) -> str:
    return ", ".join(columns)[:300]


class Orders:
    """The rows of orders by their ids, as text. `problems` are rows that cannot be used, each in words.

    All of them are in memory.
    """

    def __init__(self, columns: Columns, key: Key) -> None:
        self.problems: list[str] = []
        self._columns = columns
        self._key_at = columns.index(key.orders)
        self._number_of: dict[str, int] = {}
        self._texts: list[str | None] = []
        self._used = bytearray()

    @property
    def without_lines(self) -> int:
        """Orders to which no line has been joined."""
        return self._used.count(0)

    def add(self, name: str, table: Table) -> None:
        """Take the orders of one file. Of an order in several files, the last file holds. Raises BadFile."""
        if set(table.columns) != set(self._columns):
            raise BadFile(f"{name} has other columns than the first file of orders: {_listed(table.columns)}")
        order = [table.columns.index(column) for column in self._columns]
        first = len(self._texts)  # further ones are of this file
        for number, row in enumerate(table.rows, 1):
            fields = of_width(row.fields, len(order))
            if isinstance(fields, Unreadable):
                order_id = _field(row.fields, order[self._key_at])
                self.problems.append(f"{name}, row {number:,}: {fields.detail}; {_consequence(order_id)}")
                if order_id:
                    self._put(name, order_id, None, first)
            elif order_id := fields[order[self._key_at]].strip():
                rest = [fields[at] for at in order if at != order[self._key_at]]
                self._put(name, order_id, csv_line([*rest, ""]), first)  # ends with a comma: a line follows
            else:
                self.problems.append(f"{name}, row {number:,}: it has no id; {_consequence('')}")

    def _put(self, name: str, given_id: str, text: str | None, first: int) -> None:
        """Keep an order's text; None where it is not certain."""
        order_id = identifier(given_id)
        before = self._number_of.get(order_id)
        if before is None or before < first:
            if before is not None:
                self._used[before] = 1  # replaced, so that nobody looks for its lines
            self._number_of[order_id] = len(self._texts)
            self._texts.append(text)
            self._used.append(0)
        elif self._texts[before] not in (text, None):
            self._texts[before] = None
            if text is not None:
                self.problems.append(f"{name}: order {order_id} is there twice with different values; its lines wait")

    def text_of(self, order_id: str) -> str | None:
        """An order's fields but its id, as the begin of a row; None where it is not there or not certain."""
        number = self._number_of.get(order_id)
        if number is None:
            return None
        self._used[number] = 1
        return self._texts[number]


def _field(row: Row, at: int) -> str:
    """A field of a row that has not the header's width; "" where there is none."""
    return "" if isinstance(row, Unreadable) or at >= len(row) else row[at].strip()


def _consequence(order_id: str) -> str:
    if order_id:
        return f"lines of order {order_id} wait"
    return "its lines are joined with another row of the order where there is one, and wait otherwise"


def joined_columns(orders: Columns, lines: Columns, key: Key) -> list[str]:
    """The header of the joined table: the columns of orders but their key, then those of lines."""
    of_orders = [name for name in orders if name != key.orders]
    mean_lines = _standing_for(_OF_THE_LINE, of_orders)
    mean_orders = _standing_for(_OF_THE_ORDER, lines)
    has = {name for name in _OF_THE_ORDER if present(SYNONYMS[name], of_orders)}
    renamed_lines = _renamed(lines, "line_", {name for name in lines if mean_orders.get(name) in has} - {key.lines})
    renamed_orders = _renamed(of_orders, "order_", {*mean_lines, *renamed_lines}, renamed_lines)
    return [*renamed_orders, *renamed_lines]


def _renamed(names: Sequence[str], prefix: str, those: Collection[str], others: Iterable[str] = ()) -> list[str]:
    """The names with a prefix before some of them, and a number behind it where the name is one of another column."""
    taken = {*others, *(name for name in names if name not in those)}
    renamed = []
    for name in names:
        new = _free(f"{prefix}{name}", taken) if name in those else name
        taken.add(new)
        renamed.append(new)
    return renamed


def _free(name: str, taken: Collection[str]) -> str:
    numbered = (f"{name}_{number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in taken)


def _standing_for(fields: Iterable[str], columns: Sequence[str]) -> dict[str, str]:
    """Column → the field that its name stands for."""
    return {name: field for field in fields for name in present(SYNONYMS[field], columns)}


class Join:
    """Joins tables of lines to orders. `columns` is the header of the lines, whatever its order in each table.

    `joined` and `waiting` take the rows. A row that cannot be split becomes one field, which no header fits: it is a
    dead letter once it is sent.
    """

    def __init__(self, columns: Columns, key: Key, orders: Orders, joined: Write, waiting: Write) -> None:
        self.counts = Counts()
        self._columns = columns
        self._key_at = columns.index(key.lines)
        self._orders = orders
        self._joined = joined
        self._waiting = waiting

    def add(self, name: str, table: Table) -> None:
        """Join the lines of one file. Raises BadFile."""
        if set(table.columns) != set(self._columns):
            raise BadFile(f"{name} has other columns than the first file of lines: {_listed(table.columns)}")
        order = [table.columns.index(column) for column in self._columns]
        for row in table.rows:
            fields = of_width(row.fields, len(order))
            if isinstance(fields, Unreadable):
                self._joined(csv_line([_text(row)]))
                self.counts.unreadable += 1
            else:
                self._put([fields[at] for at in order])

    def _put(self, fields: list[str]) -> None:
        order_id = identifier(fields[self._key_at])
        found = self._orders.text_of(order_id)
        if found is None:
            self._waiting(csv_line(fields))
            self.counts.waiting += 1
            self.counts.example = self.counts.example or order_id
        else:
            self._joined(f"{found}{csv_line(fields)}")
            self.counts.joined += 1


def identifier(text: str) -> str:
    """An id as ids are compared: without space around it, `42.0` as `42`."""
    text = text.strip()
    return without_float(text) or text


def _text(row: TableRow) -> str:
    return row.text.rstrip("\r\n") or ("" if isinstance(row.fields, Unreadable) else csv_line(row.fields))
