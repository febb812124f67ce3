"""Rows become events: pure, and the hottest code of the producer.

An event is encoded once; the very bytes that will be sent are validated by the contract's own `parse`.
"""

from collections.abc import Callable, Sequence

import msgspec

from services.common.dead_letters import (
    COLUMNS_HEADER,
    EVENT_ID_HEADER,
    FileOrigin,
    Headers,
    cut,
    dead_letter_headers,
)
from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.events import Invalid, Purchase, Reason, Rejected, parse
from services.producer.csv_rows import Block, Row, csv_line, original_bytes
from services.producer.fields import RowFields
from services.producer.line_ids import LineIds

SERVICE = "producer"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One accepted row, ready for its partition of `purchases`. `event_ms` is its event time."""

    partition: int
    key: bytes
    value: bytes
    event_ms: int


class RejectedRow(msgspec.Struct, frozen=True):
    """One row that could not be accepted, ready for `purchases.dlq`; `value` is the row's original bytes.

    `key` follows from the row where it can, so that the row comes by the same partition from every file.
    """

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
    order_digest: str = ""


_encode = msgspec.json.Encoder().encode


class RowEncoder:
    """Turns the rows of one source into records, in order.

    `columns` is the file's header; `ids` the identity of the file's lines; `place` maps a key's text to (partition,
    key bytes); `rules`: what the shop has set of the validation.
    """

    def __init__(
        self,
        columns: Sequence[str],
        source: str,
        ids: LineIds,
        place: Callable[[str], tuple[int, bytes]],
        rules: EventRules = DEFAULT_RULES,
    ) -> None:
        self._fields = RowFields(columns)
        self._source = source
        self._ids = ids
        self._columns_header = (COLUMNS_HEADER, csv_line(columns).encode(errors="backslashreplace"))
        self._place = place
        self._rules = rules

    def encode(self, block: Block, now_ms: int) -> list[Record | RejectedRow]:
        """One record or dead letter for each row of the block. `now_ms` stands for the broker's time."""
        rows = zip(block.rows, *self._ids.of(block.first, len(block)), strict=True)
        return [
            self._record(row, event_id, digest, now_ms) or self._dead_letter(block, at, event_id, now_ms)
            for at, (row, event_id, digest) in enumerate(rows)
        ]

    def _record(self, row: Row, event_id: str, digest: str, now_ms: int) -> Record | None:
        try:
            value = self._event(row, event_id, digest)
        except (Invalid, UnicodeEncodeError):
            return None
        purchase = parse(value, now_ms, self._rules)
        if not isinstance(purchase, Purchase):
            return None
        partition, key = self._place(purchase.partition_key)
        return Record(partition, key, value, purchase.event_time)

    def _event(self, row: Row, event_id: str, digest: str) -> bytes:
        """The event as it will be sent. Raises Invalid, UnicodeEncodeError."""
        event = _Event(event_id or self._fields.own_id(row), *self._fields.of(row))
        event.order_digest = digest
        return _encode(event)

    def _dead_letter(self, block: Block, at: int, event_id: str, now_ms: int) -> RejectedRow:
        origin = FileOrigin(self._source, block.first + at)
        original = original_bytes(block.texts[at])
        value, rejected = cut(original, _with_lines(self._rejection(block.rows[at], event_id, now_ms), original))
        headers = [*dead_letter_headers(origin, rejected, SERVICE), self._columns_header]
        if event_id:
            headers.append((EVENT_ID_HEADER, event_id.encode()))
        return RejectedRow(event_id or origin.name, value, headers, rejected.reason)

    def _rejection(self, row: Row, event_id: str, now_ms: int) -> Rejected:
        """Why a row was not accepted; asked again instead of carried along, because bad rows are few."""
        try:
            outcome = parse(self._event(row, event_id, ""), now_ms, self._rules)
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
