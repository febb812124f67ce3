"""Rows of a mapped table as lines of the seed layout. Pure.

What can be read becomes the seed's spelling (UTC, plain decimals, money with two places). What cannot stays as it is in
the file: the one validation of events then refuses the row and says why.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as AnyMapping
from typing import NamedTuple

from services.common.money import format_cents, parse_cents, parse_whole
from services.common.spellings import without_float
from services.producer.csv_rows import Row, Unreadable, csv_line, of_width
from services.producer.layouts.containers import TableRow
from services.producer.layouts.mapping import Mapping, Values
from services.producer.layouts.order_totals import OrderLine, spread
from services.producer.layouts.times import seed_time, zone_name
from services.producer.source import OPTIONAL, REQUIRED, BadFile

COLUMNS = (*REQUIRED, *OPTIONAL)
_AMOUNT = COLUMNS.index("amount")
_ANY = "*"

Pick = Callable[[Sequence[str]], str]


class Line(NamedTuple):
    """A row in the seed layout, in the order of `COLUMNS`, and its fields or text as they stood in the file."""

    row: Row
    source: TableRow


class Lines:
    """Turns the rows of one table into lines, in order.

    Rows that the mapping leaves out are no lines; `left_out` counts them. `columns` is the table's header.
    Raises BadFile where the header lacks a column that the mapping names.
    """

    def __init__(self, mapping: Mapping, columns: Sequence[str]) -> None:
        missing = sorted(mapping.sources - set(columns))
        if missing:
            raise BadFile(
                f"the mapping names columns that the file lacks: {', '.join(missing)} "
                f"(found: {', '.join(columns)[:300]}); inspect the file again or edit the mapping"
            )
        self.left_out = 0
        self.delimiter = mapping.text.delimiter
        self._mapping = mapping
        self._width = len(columns)
        self._at = {name: at for at, name in enumerate(columns)}
        self._fill = [self._at[name] for name in mapping.fill]
        self._order_at = [self._at[name] for name in mapping.columns["order_id"]]
        self._fields = _FieldReader(mapping, self._at)

    def is_row(self, fields: Sequence[str]) -> bool:
        """Whether a row of the file has as many fields as the header and a time where one is expected."""
        return len(fields) == self._width and self._fields.has_time(fields)

    def of(self, rows: Iterable[TableRow]) -> Iterator[Line]:
        """The lines of all rows. An order's rows follow one another where it has figures of the whole order."""
        order: list[tuple[Line, OrderLine]] = []
        for line, totals in self._mapped(self._kept(self._filled(rows))):
            if order and (totals is None or totals.order != order[0][1].order):
                yield from _whole(order)
                order = []
            if totals is None:
                yield line
            else:
                order.append((line, totals))
        yield from _whole(order)

    def _filled(self, rows: Iterable[TableRow]) -> Iterator[TableRow]:
        """An order's further rows with what only its first row has."""
        before: list[str] = []
        for row in rows:
            fields = of_width(row.fields, self._width)
            if not isinstance(fields, Unreadable):
                if before and self._fill and self._continues(before, fields):
                    fields = list(fields)
                    for at in self._fill:
                        fields[at] = fields[at] or before[at]
                before = fields
            torn = isinstance(fields, Unreadable) and not row.text
            yield TableRow(fields, _joined(row.fields) if torn else row.text)

    def _continues(self, before: Sequence[str], fields: Sequence[str]) -> bool:
        return all(fields[at] in ("", before[at]) for at in self._order_at)

    def _kept(self, rows: Iterable[TableRow]) -> Iterator[TableRow]:
        only, skip = _conditions(self._mapping.only, self._at), _conditions(self._mapping.skip, self._at)
        for row in rows:
            fields = row.fields
            if isinstance(fields, Unreadable) or (
                all(_is_one(fields[at], values) for at, values in only)
                and not any(_is_one(fields[at], values) for at, values in skip)
            ):
                yield row
            else:
                self.left_out += 1

    def _mapped(self, rows: Iterable[TableRow]) -> Iterator[tuple[Line, OrderLine | None]]:
        for row in rows:
            if isinstance(row.fields, Unreadable):
                yield Line(row.fields, row), None
            else:
                fields, totals = self._fields.line(row.fields)
                yield Line(fields, row), totals


class _FieldReader:
    """Reads the fields of a row as the mapping says."""

    def __init__(self, mapping: Mapping, at: AnyMapping[str, int]) -> None:
        self._number = mapping.numbers.number
        self._money = mapping.numbers.money
        self._dates, self._zone = mapping.dates, mapping.zone
        self._picks = {field: _pick([at[name] for name in names]) for field, names in mapping.columns.items()}
        self._time_at = [at[name] for name in mapping.columns["event_time"]]
        self._by_order = bool({"order_total", "order_refund"} & set(mapping.columns))

    def has_time(self, fields: Sequence[str]) -> bool:
        """Whether there is a time."""
        return seed_time(self._time_text(fields), self._dates, self._zone) is not None

    def line(self, fields: Sequence[str]) -> tuple[list[str], OrderLine | None]:
        """The fields of `COLUMNS`, and what the row says of its whole order where the mapping asks for that."""
        texts = {field: pick(fields) for field, pick in self._picks.items()}
        texts["event_time"] = self._time(fields, texts.get("time_zone", ""))
        texts["category_code"] = _category(texts.get("category_code", ""))
        for field in ("order_id", "product_id"):
            texts[field] = without_float(texts[field]) or texts[field]
        self._figures(texts)
        row = [texts.get(name, "") for name in COLUMNS]
        if not self._by_order:
            return row, None
        total, refund = (self._cents(texts.get(name, "")) for name in ("order_total", "order_refund"))
        return row, OrderLine(texts["order_id"], _revenue(texts), total, abs(refund or 0))

    def _time_text(self, fields: Sequence[str]) -> str:
        return " ".join(text for at in self._time_at if (text := fields[at].strip()))

    def _time(self, fields: Sequence[str], zone: str) -> str:
        text = self._time_text(fields)
        name = zone_name(zone) if zone else self._zone
        return (seed_time(text, self._dates, name) if name else None) or text

    def _figures(self, texts: dict[str, str]) -> None:
        """Price, quantity and amount in plain spelling, less what was discounted and returned."""
        for field in ("quantity", "refunded_quantity"):
            if text := texts.get(field, ""):
                texts[field] = _whole_number(self._number(text)) or text
        for field in ("price", "amount", "discount", "refunded_amount"):
            if text := texts.get(field, ""):
                texts[field] = self._money(text) or self._number(text) or text
        if texts.get("amount") or texts.get("discount") or texts.get("refunded_amount"):
            _net(texts)
        if returned := _int(texts.get("refunded_quantity", "")):
            pieces = _int(texts.get("quantity") or "1")
            texts["quantity"] = str(pieces - abs(returned)) if pieces is not None else texts["quantity"]

    def _cents(self, text: str) -> int | None:
        return _cents(self._money(text) or "") if text else None


def _net(texts: dict[str, str]) -> None:
    """The amount less discount and refund, and the price of a piece where only the amount is known."""
    gross = _cents(texts["amount"]) if texts.get("amount") else _revenue(texts)
    less = [_cents(texts.get(name) or "0") for name in ("discount", "refunded_amount")]
    pieces = _int(texts.get("quantity") or "1")
    if gross is None or pieces is None or None in less:
        return
    if not texts.get("price"):
        texts["price"] = format_cents(_rounded(abs(gross), abs(pieces) or 1))
    elif _cents(texts["price"]) is None and texts.get("amount"):
        texts["price"] = _rounded_price(texts["price"])
    off = sum(abs(each or 0) for each in less)
    texts["amount"] = format_cents(gross - off if gross >= 0 else gross + off)


def _whole(order: Sequence[tuple[Line, OrderLine]]) -> Iterator[Line]:
    """An order's lines with the amounts that add up to what the order says."""
    amounts = spread([totals for _, totals in order])
    for (line, _), amount in zip(order, amounts, strict=True):
        if amount is not None and not isinstance(line.row, Unreadable):
            line.row[_AMOUNT] = format_cents(amount)
        yield line


def _joined(row: Row) -> str:
    return "" if isinstance(row, Unreadable) else csv_line(row)


def _pick(at: Sequence[int]) -> Pick:
    """The first of some fields that is not empty, without the space around it."""
    if len(at) == 1:
        [only] = at
        return lambda fields: fields[only].strip()
    return lambda fields: next((text for each in at if (text := fields[each].strip())), "")


def _conditions(values: Values, at: AnyMapping[str, int]) -> list[tuple[int, frozenset[str]]]:
    return [(at[name], frozenset(value.casefold() for value in given)) for name, given in values.items()]


def _is_one(text: str, values: frozenset[str]) -> bool:
    value = text.strip().casefold()
    return value in values or (_ANY in values and bool(value))


def _category(text: str) -> str:
    """A path such as `Drinks > Coffee` with dots between its levels; dots within a level would make more of them."""
    if ">" not in text and all(text.split(".")):
        return text
    levels = (" ".join(level.replace(".", " ").split()) for level in text.split(">"))
    return ".".join(level for level in levels if level)


def _revenue(texts: AnyMapping[str, str]) -> int | None:
    if texts.get("amount"):
        return _cents(texts["amount"])
    price, pieces = _cents(texts.get("price", "")), _int(texts.get("quantity") or "1")
    return None if price is None or pieces is None else price * pieces


def _cents(text: str) -> int | None:
    try:
        return parse_cents(text)
    except ValueError:
        return None


def _int(text: str) -> int | None:
    try:
        return parse_whole(text)
    except ValueError:
        return None


def _whole_number(text: str | None) -> str | None:
    number = _int(text or "")
    return None if number is None else str(number)


def _rounded_price(number: str) -> str:
    """A price of a piece with more than two places, which only shows, rounded half up; any other text as it is."""
    whole, point, fraction = number.partition(".")
    digits = f"{whole}{fraction}"
    return format_cents(_rounded(int(digits) * 100, 10 ** len(fraction))) if point and digits.isdecimal() else number


def _rounded(cents: int, pieces: int) -> int:
    """Half up, in whole cents."""
    return (2 * cents + pieces) // (2 * pieces)
