"""A record of the archive without its customer: the same line of the same order, for the same money. Pure."""

import re

import msgspec

from services.common.archive.joined import read_records
from services.common.archive.lines import ArchivedRecord, archive_line
from services.common.erased import Erased
from services.common.event_rules import EventRules
from services.common.events import Purchase, parse
from services.common.money import format_cents
from services.common.times import format_time

MIN_MASKED = 5
"""An id of fewer characters is looked for in the field `user_id` alone: elsewhere it may be any number."""

_CUSTOMER = re.compile(r'"user_id"\s*:\s*"?([^"\\,}\s]+)')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_TOKEN = re.compile(r'([^\s,;:"\'{}\[\]()=&|<>]+)')


class CannotRedact(Exception):
    """A line would not count as it does now. The message says which; nothing was written."""


class Redactor:
    """Removes erased customers from lines of the archive."""

    def __init__(self, erased: Erased, rules: EventRules) -> None:
        """`rules`: of the validation; whom they leave out does not matter."""
        self._erased = erased
        self._rules = rules._replace(erased=None)

    def line(self, line: bytes, arrived_ms: int) -> bytes:
        """The line (without newline) as it may stay: itself, or one or more lines. Raises CannotRedact.

        `arrived_ms`: the broker time of a line that has none.
        """
        records = read_records(line)
        redacted = [self._record(record, arrived_ms) for record in records]
        if redacted == [record.value for record in records]:
            return line
        return b"\n".join(map(_written, records, redacted))

    def mentions(self, value: bytes | None, arrived_ms: int) -> bool:
        """Whether a record is of an erased customer, or names one although it is no purchase."""
        return self.value(value, arrived_ms) != value

    def value(self, value: bytes | None, arrived_ms: int) -> bytes | None:
        """A record's value as it may stay. Raises CannotRedact."""
        parsed = parse(value, arrived_ms, self._rules)
        if not isinstance(parsed, Purchase):
            return None if value is None else self._masked(value)
        if parsed.user_id is None or parsed.user_id not in self._erased:
            return value
        anonymous = msgspec.structs.replace(parsed, user_id=None)
        written = write_event(anonymous)
        if parse(written, arrived_ms, self._rules) != anonymous:
            raise CannotRedact(f"a line of order {parsed.order_id} would read differently without its customer")
        return written

    def _record(self, record: ArchivedRecord, arrived_ms: int) -> bytes | None:
        return self.value(record.value, arrived_ms if record.timestamp is None else record.timestamp)

    def _masked(self, value: bytes) -> bytes:
        """A rejected record with the ids replaced: it counts nothing, and who repairs it has the dead letter."""
        text = _CUSTOMER.sub(self._mask, value.decode(errors="surrogateescape"))
        for pattern in (_STRING, _TOKEN):
            text = pattern.sub(self._mask_long, text)
        return text.encode(errors="surrogateescape")

    def _mask_long(self, found: re.Match[str]) -> str:
        return self._mask(found) if len(found[1]) >= MIN_MASKED else found[0]

    def _mask(self, found: re.Match[str]) -> str:
        token = found[1]
        if token not in self._erased:
            return found[0]
        start = found.start(1) - found.start()
        return found[0][:start] + _mask_for(token) + found[0][start + len(token) :]


def _mask_for(token: str) -> str:
    """As long, and a number for a number: the record is rejected for the same reason as before."""
    if not token.isascii() or not token.isdigit():
        return "x" * len(token)
    return ("8" if set(token) == {"9"} else "9") * len(token)


def _written(record: ArchivedRecord, value: bytes | None) -> bytes:
    partition, offset, timestamp = record.partition, record.offset, record.timestamp
    if partition is None or offset is None or timestamp is None:
        return value or b""
    return archive_line(partition, offset, timestamp, value).removesuffix(b"\n")


def write_event(purchase: Purchase) -> bytes:
    """An event that reads as this purchase."""
    fields = {
        "event_id": purchase.event_id,
        "event_time": format_time(purchase.event_time),
        "order_id": purchase.order_id,
        "product_id": purchase.product_id,
        "user_id": purchase.user_id,
        "category_id": purchase.category_id,
        "category_code": purchase.category_code,
        "brand": purchase.brand,
        "product_name": purchase.product_name,
        "price": format_cents(purchase.price),
        "quantity": purchase.quantity,
        "amount": format_cents(purchase.revenue),
        "replay_of": purchase.replay_of,
        "order_digest": purchase.order_digest,
    }
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})
