"""Dead letters: the headers of `purchases.dlq`, and the origin of a record that they name."""

import time
from dataclasses import dataclass
from hashlib import blake2b

from services.common.events import Reason, Rejected
from services.common.texts import is_clean

# The broker accepts records up to 1 MiB. A longer value is cut; it is still complete at its origin.
MAX_VALUE_BYTES = 900_000

# A topic has at most 249 characters, a file's name 255 bytes. The source becomes a field of the live tables.
MAX_SOURCE_LENGTH = 255
MAX_ROW_DIGITS = 15

# The header with the columns of a rejected row: the header line of its file, as CSV.
COLUMNS_HEADER = "source-columns"

# The header with the event id that a rejected row would have had, which its replay gets.
EVENT_ID_HEADER = "source-event-id"

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class RecordOrigin:
    """A record of a topic."""

    topic: str
    partition: int
    offset: int

    @property
    def source(self) -> str:
        """The sequence that this origin is numbered in; also the dead letter's key."""
        return f"{self.topic}/{self.partition}"

    @property
    def row(self) -> int:
        """The position in the source's sequence."""
        return self.offset

    @property
    def name(self) -> str:
        """The origin as one text, as in `replay_of`: `<topic>/<partition>/<offset>`."""
        return f"{self.source}/{self.offset}"

    def headers(self) -> Headers:
        """The origin as headers."""
        return [
            ("source-topic", self.topic.encode()),
            ("source-partition", str(self.partition).encode()),
            ("source-offset", str(self.offset).encode()),
        ]


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """A row of a file; the header line is row 0. `file` is the name of the source, not a path."""

    file: str
    row: int

    @property
    def source(self) -> str:
        """The sequence that this origin is numbered in."""
        return self.file

    @property
    def name(self) -> str:
        """The origin as one text, as in `replay_of`: `<file>:<row>`."""
        return f"{self.file}:{self.row}"

    def headers(self) -> Headers:
        """The origin as headers."""
        return [("source-file", self.file.encode()), ("source-row", str(self.row).encode())]


Origin = RecordOrigin | FileOrigin


def cut(value: bytes, rejected: Rejected) -> tuple[bytes, Rejected]:
    """The value, cut to what fits into a record; where it was cut, the detail says so."""
    if len(value) <= MAX_VALUE_BYTES:
        return value, rejected
    detail = f"{rejected.detail}; the value is cut to {MAX_VALUE_BYTES} of {len(value)} bytes"
    return value[:MAX_VALUE_BYTES], Rejected(rejected.reason, detail)


def dead_letter_headers(origin: Origin, rejected: Rejected, service: str) -> Headers:
    """All headers of one dead letter; its value is the original bytes."""
    return [
        ("reason", rejected.reason.value.encode()),
        ("detail", _short_text(rejected.detail)),
        ("failed-at", str(int(time.time() * 1000)).encode()),
        ("service", service.encode()),
        *origin.headers(),
    ]


def origin_of(headers: Headers) -> Origin | None:
    """The origin that the headers name; None where it is missing or no origin that a service writes.

    Anybody who may write to the topic writes headers: a source is 1 to 255 characters without control characters, a
    number at most 15 ASCII digits.
    """
    named = with_values(headers)
    try:
        if "source-file" in named:
            return FileOrigin(_source(named["source-file"]), _number(named["source-row"]))
        topic, partition, offset = named["source-topic"], named["source-partition"], named["source-offset"]
        return RecordOrigin(_source(topic), _number(partition), _number(offset))
    except (KeyError, ValueError):
        return None


def row_token(origin: FileOrigin, headers: Headers, value: bytes | None) -> str:
    """What identifies a rejected row: 16 hexadecimal digits.

    With the event id that it would have had, that is its content, whatever its file is called; else its place as well.
    """
    event_id = with_values(headers).get(EVENT_ID_HEADER)
    place = origin.name.encode() if event_id is None else event_id
    return blake2b(b"%b\0%b" % (place, value or b""), digest_size=8, person=b"row").hexdigest()


def _source(header: bytes) -> str:
    text = header.decode()
    if not 0 < len(text) <= MAX_SOURCE_LENGTH or not is_clean(text):
        raise ValueError(f"{text[:40]!r} is no source")
    return text


def _number(header: bytes) -> int:
    # bytes.isdigit takes ASCII digits alone, unlike int(), which also reads signs, spaces and underscores.
    if len(header) > MAX_ROW_DIGITS or not header.isdigit():
        raise ValueError(f"{header[:40]!r} is no number of a row, partition or record")
    return int(header)


def reason_of(headers: Headers) -> str:
    """The reason code, or `unnamed` where the header is missing or has an unknown code."""
    try:
        return Reason(with_values(headers)["reason"].decode()).value
    except (KeyError, ValueError):
        return "unnamed"


def _short_text(text: str) -> bytes:
    """UTF-8 of at most 500 bytes, cut between two characters."""
    return text.encode(errors="backslashreplace")[:500].decode(errors="ignore").encode()


def with_values(headers: Headers) -> dict[str, bytes]:
    """The headers that have a value. Kafka allows one without, whatever the type says; it must not stop the reader."""
    return {name: value for name, value in headers if value is not None}
