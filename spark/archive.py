"""One line of the archive, whoever wrote it.

Ours (and Firehose behind its transformation function): `{"partition", "offset", "timestamp", "value"}`, where `value`
is the event, or the record's text where that is not JSON; `value_base64` replaces it where the bytes are not UTF-8.
Any other archiver: the record's bytes as they were, one record a line.
"""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec


class ArchivedRecord(NamedTuple):
    """A record of the topic. Partition, offset and broker time (epoch ms) are None where the line does not tell."""

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


_decoder = msgspec.json.Decoder(_Envelope)
_HOUR = re.compile(r"/(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]*$", re.ASCII)


def read_line(line: bytes) -> ArchivedRecord:
    """The record in one line of the archive (without its newline). Never raises: what is no envelope is a value."""
    try:
        envelope = _decoder.decode(line)
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


def hour_end_ms(path: str) -> int | None:
    """The end of the hour in an archive object's path (epoch ms); None where its folders name no hour.

    It stands in for the broker time that a plain line lacks.
    """
    match = _HOUR.search(path)
    if match is None:
        return None
    year, month, day, hour = map(int, match.groups())
    try:
        end = datetime(year, month, day, hour, tzinfo=UTC) + timedelta(hours=1)
    except ValueError:
        return None
    return int(end.timestamp() * 1000)
