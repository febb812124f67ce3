"""Rows become events: pure, and the hottest code of the producer.

An event is encoded once; the very bytes that will be sent are validated by the contract's own `parse`.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter

import msgspec

from services.common.dead_letters import COLUMNS_HEADER, FileOrigin, Headers, cut, dead_letter_headers
from services.common.events import DEFAULT_NO_CUSTOMER, Invalid, Purchase, Reason, Rejected, parse
from services.producer.source import REQUIRED, Block, Row, RowLayout, Unreadable, csv_line, original_bytes

SERVICE = "producer"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One accepted row, ready for its partition of `purchases`. `event_ms` is its event time."""

    partition: int
    key: bytes
    value: bytes
    event_ms: int


class RejectedRow(msgspec.Struct, frozen=True):
    """One row that could not be accepted, ready for `purchases.dlq`; `value` is the row's original bytes."""

    key: str
    value: bytes
    headers: Headers
    reason: Reason


class _Event(msgspec.Struct, omit_defaults=True, gc=False):
    """The event on the wire. An empty text is left out, which the contract reads as null."""

    event_id: str
    event_time: str = ""
    order_id: str = ""
    product_id: str = ""
    category_id: str = ""
    category_code: str = ""
    brand: str = ""
    price: str = ""
    user_id: str = ""
    quantity: str = ""
    amount: str = ""
    product_name: str = ""


_FIELDS = _Event.__struct_fields__[1:]
_encode = msgspec.json.Encoder().encode


class RowEncoder:
    """Turns the rows of one source into records, in order.

    `columns` is the file's header; `place` maps a key's text to (partition, key bytes); `no_customer`: ids that stand
    for no customer.
    """

    def __init__(
        self,
        columns: Sequence[str],
        source: str,
        place: Callable[[str], tuple[int, bytes]],
        no_customer: frozenset[str] = DEFAULT_NO_CUSTOMER,
    ) -> None:
        self._width = len(columns)
        self._layout = RowLayout(columns)
        self._pick = _identity if tuple(columns) == REQUIRED else _picker(columns)
        self._event_id_column = columns.index("event_id") if "event_id" in columns else None
        self._source = source
        self._columns_header = (COLUMNS_HEADER, csv_line(columns).encode(errors="backslashreplace"))
        self._place = place
        self._no_customer = no_customer

    def encode(self, block: Block, now_ms: int) -> list[Record | RejectedRow]:
        """One record or dead letter for each row of the block. `now_ms` stands for the broker's time."""
        return [
            self._record(row, number, now_ms) or self._dead_letter(row, number, now_ms, text)
            for number, (row, text) in enumerate(zip(block.rows, block.texts, strict=True), block.first)
        ]

    def _record(self, row: Row, number: int, now_ms: int) -> Record | None:
        try:
            value = _encode(_Event(self._event_id(row, number), *self._fields(row)))
        except (Invalid, UnicodeEncodeError):
            return None
        purchase = parse(value, now_ms, self._no_customer)
        if not isinstance(purchase, Purchase):
            return None
        partition, key = self._place(purchase.partition_key)
        return Record(partition, key, value, purchase.event_time)

    def _event_id(self, row: Row, number: int) -> str:
        column = self._event_id_column
        own = row[column] if column is not None and column < len(row) else None
        return own or f"{self._source}:{number}"

    def _fields(self, row: Row) -> Sequence[str]:
        """The row's texts in the order of the event's fields. Raises Invalid."""
        if isinstance(row, Unreadable):
            raise Invalid(Reason.BAD_ROW, f"not readable as CSV: {row.detail}")
        if len(row) == self._width:
            return self._pick(row)
        if self._layout.is_short(row):
            event_time, order_id, product_id, _, price, user_id = row
            return (event_time, order_id, product_id, "", "", "", price, user_id)
        raise Invalid(Reason.BAD_ROW, f"{len(row)} fields where the header has {self._width} columns")

    def _dead_letter(self, row: Row, number: int, now_ms: int, text: str) -> RejectedRow:
        origin = FileOrigin(self._source, number)
        original = original_bytes(text)
        value, rejected = cut(original, _with_lines(self._rejection(row, number, now_ms), original))
        headers = [*dead_letter_headers(origin, rejected, SERVICE), self._columns_header]
        return RejectedRow(origin.source, value, headers, rejected.reason)

    def _rejection(self, row: Row, number: int, now_ms: int) -> Rejected:
        """Why a row was not accepted; asked again instead of carried along, because bad rows are few."""
        try:
            outcome = parse(_encode(_Event(self._event_id(row, number), *self._fields(row))), now_ms, self._no_customer)
        except UnicodeEncodeError:
            return Rejected(Reason.BAD_ROW, "the row is not UTF-8 text")
        except Invalid as invalid:
            return Rejected(invalid.reason, str(invalid))
        if isinstance(outcome, Rejected):
            return outcome
        raise AssertionError("a row that is accepted has no reason to be a dead letter")


def _with_lines(rejected: Rejected, original: bytes) -> Rejected:
    """The rejection; where the row holds several lines, the detail says how many."""
    lines = len(original.splitlines())
    return rejected if lines < 2 else Rejected(rejected.reason, f"{rejected.detail}; the row holds {lines:,} lines")


def _identity(row: list[str]) -> Sequence[str]:
    return row


def _picker(columns: Sequence[str]) -> Callable[[list[str]], Sequence[str]]:
    """Picks the event's fields from a row by header name; a column that the file lacks gives an empty text."""
    absent = len(columns)
    pick = itemgetter(*(columns.index(name) if name in columns else absent for name in _FIELDS))

    def fields(row: list[str]) -> Sequence[str]:
        picked: tuple[str, ...] = pick([*row, ""])
        return picked

    return fields
