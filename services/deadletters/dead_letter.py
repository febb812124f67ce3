"""One dead letter: what its headers say, its payload as fields, and the identity of its replay. Pure."""

import csv
import io
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from services.common.dead_letters import (
    COLUMNS_HEADER,
    EVENT_ID_HEADER,
    MAX_VALUE_BYTES,
    FileOrigin,
    Headers,
    Origin,
    RecordOrigin,
    origin_of,
    reason_of,
    with_values,
)

Event = dict[str, Any]

SEED_COLUMNS = ("event_time", "order_id", "product_id", "category_id", "category_code", "brand", "price", "user_id")
_SHORT_ROW = ("event_time", "order_id", "product_id", "", "price", "user_id")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was refused. `failed_at` is epoch milliseconds, `value` the original bytes.

    `columns` is the header of the file that it is a row of. `headers` are all headers as text.
    """

    origin: Origin
    reason: str
    detail: str
    failed_at: int
    service: str
    value: bytes
    columns: Sequence[str] = SEED_COLUMNS
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The origin as one text: `<file>:<row>` or `<topic>/<partition>/<offset>`."""
        return self.origin.name

    @property
    def source(self) -> str:
        """The file, or `<topic>/<partition>`."""
        return self.origin.source

    @property
    def text(self) -> str:
        """The payload as text; bytes that are no UTF-8 are escaped."""
        return self.value.decode(errors="backslashreplace")

    @property
    def failed(self) -> datetime:
        """When it was refused, in UTC."""
        return datetime.fromtimestamp(self.failed_at / 1000, UTC)

    @property
    def is_cut(self) -> bool:
        """Whether the value may be only the beginning of the payload."""
        return len(self.value) >= MAX_VALUE_BYTES

    @property
    def event(self) -> Event:
        """The payload as fields: those of a JSON object, or a row's by its file's columns; none where it is neither.

        A JSON number with a fraction is the text that stood there, so that no digit is lost.
        """
        return _row(self.value, self.columns) if isinstance(self.origin, FileOrigin) else _object(self.value)

    @property
    def replay_id(self) -> str:
        """The event_id of its replay: that of its event or row, else one made from the origin."""
        own = self.event.get("event_id")
        return own if isinstance(own, str) and own else self.headers.get(EVENT_ID_HEADER) or f"{self.name}:replay"

    @property
    def order_id(self) -> str | None:
        """The order that it belongs to, where that can be read."""
        order_id = self.event.get("order_id")
        return order_id if isinstance(order_id, str) and order_id else None


def read_dead_letter(place: RecordOrigin, headers: Headers, value: bytes | None, timestamp: int) -> DeadLetter:
    """The dead letter in a record of the dead-letter topic; without a readable origin its own place is its origin."""
    named = with_values(headers)
    texts = {name: text.decode(errors="backslashreplace") for name, text in named.items()}
    failed_at = texts.get("failed-at", "")
    return DeadLetter(
        origin_of(headers) or place,
        reason_of(headers),
        texts.get("detail", ""),
        int(failed_at) if failed_at.isascii() and failed_at.isdigit() and len(failed_at) <= 14 else timestamp,
        texts.get("service", ""),
        value or b"",
        _fields(texts.get(COLUMNS_HEADER, "")) or SEED_COLUMNS,
        texts,
    )


def _object(value: bytes) -> Event:
    try:
        decoded = json.loads(value, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _row(value: bytes, columns: Sequence[str]) -> Event:
    """The row's fields by column; a short row's as the producer reads them, what is beyond the columns is left out."""
    fields = _fields(value.decode(errors="surrogateescape"))
    if tuple(columns[: len(SEED_COLUMNS)]) == SEED_COLUMNS and len(fields) == len(_SHORT_ROW) and fields[3] == "":
        return {name: text for name, text in zip(_SHORT_ROW, fields, strict=True) if name}
    return dict(zip(columns, fields, strict=False))


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(line, newline="")), [])
    except csv.Error:
        return []


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects dead letters. `since` (inclusive) and `until` (exclusive) are epoch milliseconds of failed-at."""

    reasons: Container[str] = ()
    since: int | None = None
    until: int | None = None
    source: str | None = None
    order_id: str | None = None

    def matches(self, dead_letter: DeadLetter) -> bool:
        """Whether the filter selects it. A source is a file, a topic, or one partition `<topic>/<partition>`."""
        return (
            (not self.reasons or dead_letter.reason in self.reasons)
            and (self.since is None or dead_letter.failed_at >= self.since)
            and (self.until is None or dead_letter.failed_at < self.until)
            and (self.source is None or f"{dead_letter.source}/".startswith(f"{self.source}/"))
            and (self.order_id is None or dead_letter.order_id == self.order_id)
        )


class OriginDeduplicator:
    """Recognises dead letters that a sender wrote again after a crash: same origin, same payload.

    Files of one name follow one another, so the origin alone is not enough. Keeps 8 bytes of each dead letter.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()

    def is_new(self, dead_letter: DeadLetter) -> bool:
        """Whether this is the first dead letter of its origin and payload."""
        content = b"%b\0%b" % (dead_letter.name.encode("utf-8", "surrogateescape"), dead_letter.value)
        known = int.from_bytes(blake2b(content, digest_size=8).digest())
        if known in self._known:
            return False
        self._known.add(known)
        return True
