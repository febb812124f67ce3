"""A record of Debezium's PostgreSQL connector as JSON: what a row was, and what it is now. Pure.

With schemas in the records a value's kind is known from them. Without, decimals must be text with a decimal point or
numbers: bytes in base64 may look like a number.
"""

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from services.common.money import without_exponent

Row = Mapping[str, str]  # column → text, "" for null
Values = dict[str, msgspec.Raw]

_EPOCH = datetime(1970, 1, 1)
_UNITS_A_SECOND = {
    "io.debezium.time.Timestamp": 1_000,
    "org.apache.kafka.connect.data.Timestamp": 1_000,
    "io.debezium.time.MicroTimestamp": 1_000_000,
    "io.debezium.time.NanoTimestamp": 1_000_000_000,
}
_SECONDS_A_DAY = 86_400
_DAYS = ("io.debezium.time.Date", "org.apache.kafka.connect.data.Date")
_DECIMAL = "org.apache.kafka.connect.data.Decimal"
_VARIABLE_DECIMAL = "io.debezium.data.VariableScaleDecimal"
# A large value that has not changed, of a table whose replica identity is not FULL.
_UNAVAILABLE = "__debezium_unavailable_value"
_UNIX_DIGITS = {13: 1_000, 16: 1_000_000}
_POINTED = re.compile(r"-?\d+\.\d+", re.ASCII)


class NotAChange(ValueError):
    """The record cannot be read as a change of a row; the message says why and what to do."""


class Op(StrEnum):
    """What happened to a row."""

    READ = "r"  # by a snapshot
    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `position` is its place in the source's log, `at_ms` when it was made, in epoch milliseconds."""

    op: Op
    before: Row | None
    after: Row | None
    position: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Kinds:
    """Columns that are read, and those of them whose values need care where a record has no schema."""

    read: Collection[str]
    times: Collection[str]
    money: Collection[str]


class _Field(msgspec.Struct):
    field: str = ""
    name: str = ""
    parameters: dict[str, str] = {}
    fields: list["_Field"] = []


class _Source(msgspec.Struct):
    connector: str
    ts_ms: int
    lsn: int | None = None


class _Envelope(msgspec.Struct):
    op: str
    source: _Source | None = None
    before: Values | None = None
    after: Values | None = None


_members = msgspec.json.Decoder(Values).decode
_schema = msgspec.json.Decoder(_Field).decode
_envelope = msgspec.json.Decoder(_Envelope).decode


def read_change(value: bytes | None, kinds: Kinds) -> Change | None:
    """The change of a record's value; None for a tombstone or a logical message. Raises NotAChange."""
    if value is None:
        return None
    try:
        payload, schema = _opened(value)
        envelope = _envelope(payload)
        if envelope.op == "m":
            return None
        return _change(envelope, _fields_of(schema), kinds)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAChange(f"is no change event of Debezium: {error}") from None


def read_key(key: bytes | None) -> tuple[tuple[str, str], ...]:
    """Column and JSON of each part of a record's key. Raises NotAChange where it has none."""
    try:
        payload, _ = _opened(key or b"null")
        parts = tuple((name, bytes(value).decode()) for name, value in _members(payload).items())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAChange(f"has no key ({error}): give the table a primary key") from None
    return parts


def _opened(record: bytes) -> tuple[bytes, bytes | None]:
    """Payload and schema; the record itself where it holds no schema."""
    members = _members(record)
    if set(members) == {"schema", "payload"}:
        return bytes(members["payload"]), bytes(members["schema"])
    return record, None


def _fields_of(schema: bytes | None) -> dict[str, _Field] | None:
    """The columns of the row by name; None where the record has no schema."""
    if schema in (None, b"null"):
        return None
    row = next((field for field in _schema(schema or b"").fields if field.field == "after"), _Field())
    return {field.field: field for field in row.fields}


def _change(envelope: _Envelope, fields: dict[str, _Field] | None, kinds: Kinds) -> Change:
    source = envelope.source
    if envelope.op == "t":
        raise NotAChange("empties the table: what counted stays; decide what it means")
    if envelope.op not in set(Op):
        raise NotAChange(f"has the unknown operation {envelope.op!r}")
    if source is None or source.connector != "postgresql" or source.lsn is None:
        raise NotAChange("has no place in PostgreSQL's log: other connectors are not supported")

    def row(values: Values | None) -> Row | None:
        if values is None:
            return None
        return {name: _column(name, value, fields, kinds) for name, value in values.items()}

    return Change(Op(envelope.op), row(envelope.before), row(envelope.after), source.lsn, source.ts_ms)


def _column(name: str, value: msgspec.Raw, fields: dict[str, _Field] | None, kinds: Kinds) -> str:
    """The text of a value. One that cannot be read matters only in a column that is read. Raises NotAChange."""
    try:
        return _text(name, value, fields, kinds)
    except NotAChange:
        raise
    except (msgspec.DecodeError, ValueError, TypeError, ArithmeticError) as error:
        literal = bytes(value).decode(errors="replace")
        if name in kinds.read:
            raise NotAChange(f"has {name} {literal[:40]}, which cannot be read: {error}") from None
        return literal


def _text(name: str, value: msgspec.Raw, fields: dict[str, _Field] | None, kinds: Kinds) -> str:
    literal = bytes(value)
    if literal == b"null":
        return ""
    if fields is not None and (field := fields.get(name)) is not None and field.name:
        return _by_schema(literal, field)
    if literal[:1] != b'"':
        return _number(literal.decode(), is_time=fields is None and name in kinds.times)
    text = msgspec.json.decode(literal, type=str)
    if fields is None and name in kinds.money and not _POINTED.fullmatch(text):
        raise NotAChange(
            f"has {name} {text!r}, which may be bytes: set decimal.handling.mode=string, or schemas.enable=true"
        )
    return "" if text == _UNAVAILABLE else text


def _by_schema(literal: bytes, field: _Field) -> str:
    """The text of a value that is not of a plain type."""
    if field.name == _DECIMAL:
        return _decimal(msgspec.json.decode(literal, type=str), int(field.parameters.get("scale", "0")))
    if field.name == _VARIABLE_DECIMAL:
        parts = msgspec.json.decode(literal, type=dict[str, Any])
        return _decimal(str(parts.get("value")), int(parts.get("scale", 0)))
    if field.name in _UNITS_A_SECOND:
        return _local_time(int(literal), _UNITS_A_SECOND[field.name])
    if field.name in _DAYS:
        return _local_time(int(literal) * _SECONDS_A_DAY, 1).removesuffix(" 00:00:00")
    text = msgspec.json.decode(literal, type=str) if literal[:1] == b'"' else literal.decode()
    return "" if text == _UNAVAILABLE else text


def _decimal(text: str, scale: int) -> str:
    """Kafka Connect's decimal: a big-endian integer in two's complement, in base64."""
    unscaled = int.from_bytes(base64.b64decode(text), "big", signed=True)
    return f"{Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -scale)):f}"


def _number(literal: str, *, is_time: bool) -> str:
    if is_time and (units := _UNIX_DIGITS.get(len(literal))):
        return _local_time(int(literal), units)
    return without_exponent(literal)


def _local_time(count: int, units_a_second: int) -> str:
    """A time without a zone, which Debezium writes as if it were of UTC: its zone is the mapping's.

    One beyond the years 1 to 9999, such as `infinity`, is a text that the validation refuses as a time.
    """
    try:
        return (_EPOCH + timedelta(microseconds=count * 1_000_000 // units_a_second)).isoformat(" ")
    except OverflowError:
        return f"out of range: {count}"
