"""One record as one line of the archive. Pure.

`{"partition", "offset", "timestamp", "value"}`; from the line the record's value can be told again, byte for byte but
for line ends between JSON tokens:

- JSON is embedded as it came (numbers keep their text, ids their digits),
- except a JSON string, a literal null, or more than MAX_RECORD_BYTES: those, and text that is not JSON, become a JSON
  string of the whole text (what makes a record too large may be the very white space that embedding drops),
- bytes that are not UTF-8 become `value_base64` in place of `value`,
- a record without a value has null.
"""

import base64

import msgspec

from services.common.events import MAX_RECORD_BYTES

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
    """The value on one line where it is JSON that can stand for itself, else None."""
    if len(value) > MAX_RECORD_BYTES:
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
