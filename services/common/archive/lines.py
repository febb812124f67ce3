"""The archive's line format: one record as one JSON line, and back. Pure.

`{"partition", "offset", "timestamp", "value"}`. The record's value can be restored from the line, byte for byte except
for line ends between JSON tokens:

- JSON is embedded unchanged (numbers keep their text, ids their digits),
- except a JSON string, a literal null, more than MAX_RECORD_BYTES or MAX_NESTING: those, and text that is not JSON,
  become a JSON string of the whole text (what makes a record too large may be the very white space that embedding
  drops, and how deep a reader can decode depends on its stack),
- bytes that are not UTF-8 become `value_base64` in place of `value`,
- a record without a value has null.
"""

import base64
import binascii
from typing import NamedTuple

import msgspec

from services.common.events import MAX_RECORD_BYTES
from services.common.json_nesting import is_nested_too_deep

_check_json = msgspec.json.Decoder(msgspec.Raw).decode


def archive_line(partition: int, offset: int, timestamp_ms: int, value: bytes | None) -> bytes:
    """The line of a record, newline included. `timestamp_ms` is the broker's time."""
    return b'{"partition":%d,"offset":%d,"timestamp":%d,%b}\n' % (partition, offset, timestamp_ms, _member(value))


def _member(value: bytes | None) -> bytes:
    if value is None:
        return b'"value":null'
    if not _is_unicode(value):
        return b'"value_base64":"%b"' % base64.b64encode(value)
    return b'"value":%b' % (_json(value) or msgspec.json.encode(value.decode()))


def _json(value: bytes) -> bytes | None:
    """The value on one line where it is JSON that can be embedded, else None."""
    if len(value) > MAX_RECORD_BYTES or is_nested_too_deep(value):
        return None
    try:
        text = bytes(_check_json(value))
    except (msgspec.DecodeError, RecursionError):
        return None
    if text.startswith(b'"') or text == b"null":
        return None
    # Within a JSON string a line end is an error, so here it can only stand between tokens.
    if b"\n" in text or b"\r" in text:
        return msgspec.json.format(text, indent=-1)
    return text


def _is_unicode(value: bytes) -> bool:
    if value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


class ArchivedRecord(NamedTuple):
    """A record of the topic. Partition, offset and broker time (epoch ms) are None where the line has none."""

    partition: int | None
    offset: int | None
    timestamp: int | None
    value: bytes | None


class _Envelope(msgspec.Struct):
    partition: int
    offset: int
    timestamp: int
    value: msgspec.Raw = msgspec.Raw()
    value_base64: str | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def read_line(line: bytes) -> ArchivedRecord:
    """The record of a line (without its newline). Never raises: a line that is no envelope is itself the value."""
    try:
        envelope = _decode_envelope(line)
        return ArchivedRecord(envelope.partition, envelope.offset, envelope.timestamp, _value(envelope))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, binascii.Error, _NotAnEnvelope):
        return ArchivedRecord(None, None, None, line)


class _NotAnEnvelope(Exception):
    """The line has the envelope's numbers but no value: it is an event with fields of the same names."""


def _value(envelope: _Envelope) -> bytes | None:
    if envelope.value_base64 is not None:
        return base64.b64decode(envelope.value_base64, validate=True)
    value = bytes(envelope.value)
    if not value:
        raise _NotAnEnvelope
    if value == b"null":
        return None
    if value.startswith(b'"'):
        text: str = msgspec.json.decode(value)
        return text.encode()
    return value
