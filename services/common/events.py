"""The purchase event: one pure validation of (record bytes, broker time), the same in stream and batch job."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

import msgspec

from services.common.canary import Canary, read_canary
from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.json_nesting import MAX_NESTING, is_nested_too_deep
from services.common.line_totals import InconsistentLine, pieces_and_revenue
from services.common.money import MAX_UNIT_PRICE_CENTS, parse_cents, without_exponent
from services.common.short_rows import read_short_row
from services.common.spellings import (
    NO_VALUE,
    is_no_customer,
    is_rounded,
    unquoted,
    without_float,
)
from services.common.texts import is_clean
from services.common.times import parse_time

MAX_RECORD_BYTES = 64 * 1024
MAX_ID_LENGTH = 128
MAX_TEXT_LENGTH = 256
MAX_CATEGORY_LEVELS = 8
EARLIEST_EVENT_MS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000)
FUTURE_TOLERANCE_MS = 24 * 3600 * 1000


class Reason(StrEnum):
    """Why a record is a dead letter. The values are part of the contract of `purchases.dlq`."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    BAD_TIME = "bad_time"
    BAD_PRICE = "bad_price"
    BAD_AMOUNT = "bad_amount"
    BAD_ID = "bad_id"
    DAMAGED_ID = "damaged_id"
    BAD_TEXT = "bad_text"
    BAD_QUANTITY = "bad_quantity"
    BAD_ROW = "bad_row"
    TOO_LARGE = "too_large"
    ORDER_CHANGED = "order_changed"
    CANNOT_APPLY = "cannot_apply"


class Purchase(msgspec.Struct, gc=False):  # holds no containers, so no cycles
    """One accepted line. Times are epoch milliseconds, money is cents, absent texts are None.

    `replay_of`: the origin of the dead letter that this line replays; None for every other line. `order_digest`: what
    the line's export says the whole order is, as 16 hexadecimal digits; never set for a replay.
    """

    event_id: str | None
    event_time: int
    order_id: str
    product_id: str
    user_id: str | None
    category_id: str | None
    category_code: str | None
    brand: str | None
    product_name: str | None
    price: int
    quantity: int
    revenue: int
    replay_of: str | None = None
    order_digest: str | None = None

    @property
    def partition_key(self) -> str:
        """The key of the line's record in `purchases`: one buyer's lines, or one order's, stay in order."""
        return self.user_id or self.order_id


class Rejected(msgspec.Struct, frozen=True):
    """Why a record was not accepted: the reason code, and a detail for people."""

    reason: Reason
    detail: str


class Invalid(ValueError):
    """Raised inside the validation; `parse` turns it into `Rejected`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _NoPrice(Invalid):
    """The price is missing, null or empty."""


_ABSENT = msgspec.Raw()


class _Wire(msgspec.Struct, gc=False):
    """The JSON object as received. Numbers stay raw text, so that no float ever exists."""

    event_time: str | None = None
    order_id: str | None = None
    product_id: str | None = None
    price: msgspec.Raw = _ABSENT
    event_id: str | None = None
    user_id: str | None = None
    category_id: str | None = None
    category_code: str | None = None
    brand: str | None = None
    product_name: str | None = None
    quantity: msgspec.Raw = _ABSENT
    amount: msgspec.Raw = _ABSENT
    replay_of: str | None = None
    order_digest: str | None = None


_decoder = msgspec.json.Decoder(_Wire)
_decode_text = msgspec.json.Decoder(str).decode
_FIELD_REASONS = {
    "event_time": Reason.BAD_TIME,
    "order_id": Reason.BAD_ID,
    "product_id": Reason.BAD_ID,
    "event_id": Reason.BAD_ID,
    "user_id": Reason.BAD_ID,
    "category_id": Reason.BAD_ID,
    "replay_of": Reason.BAD_ID,
    "order_digest": Reason.BAD_ID,
}
_TOTAL_REASONS = {"price": Reason.BAD_PRICE, "quantity": Reason.BAD_QUANTITY, "amount": Reason.BAD_AMOUNT}
_FIELD_IN_ERROR = re.compile(r"`\$\.(\w+)`")
_BEFORE_ROUNDED = frozenset("+-0123456789")
_DIGEST = re.compile(r"[0-9a-f]{16}", re.ASCII)

# Few values fill these columns: a cached check costs a tenth. Keys are short, so that the caches stay small.
_CACHED_VALUES = 16_384
_CACHED_LITERAL_BYTES = 24


def parse(value: bytes | None, broker_ms: int, rules: EventRules = DEFAULT_RULES) -> Purchase | Rejected | Canary:
    """Validate one record's value against the contract of topic `purchases`.

    `broker_ms` is the record's broker time in epoch milliseconds: an event may lie at most a day past it.
    `rules`: what the shop has set.
    """
    try:
        wire = _decode(value)
        try:
            return _purchase(wire, broker_ms, rules)
        except _NoPrice:
            return _purchase(_short_row(value) or wire, broker_ms, rules)
    except Invalid as invalid:
        return read_canary(value) or Rejected(invalid.reason, str(invalid))


def _decode(value: bytes | None) -> _Wire:
    if value is None:
        raise Invalid(Reason.NOT_JSON, "the record has no value")
    if len(value) > MAX_RECORD_BYTES:
        raise Invalid(Reason.TOO_LARGE, f"{len(value)} bytes are more than {MAX_RECORD_BYTES}")
    if is_nested_too_deep(value):
        raise Invalid(Reason.TOO_LARGE, f"nested deeper than {MAX_NESTING} levels")
    try:
        return _decoder.decode(value)
    except msgspec.ValidationError as error:
        field = _FIELD_IN_ERROR.search(str(error))
        if field is None:
            raise Invalid(Reason.NOT_AN_OBJECT, "the record is JSON but not an object") from None
        reason = _FIELD_REASONS.get(field[1], Reason.BAD_TEXT)
        raise Invalid(reason, f"{field[1]}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(Reason.NOT_JSON, str(error)) from None


def _short_row(value: bytes | None) -> _Wire | None:
    """The event of a short row; None where the record is none.

    Only asked where there is no price, so that an event that is valid as it is never reads differently.
    """
    row = read_short_row(value or b"")
    if row is None:
        return None
    return _Wire(
        event_time=row.event_time,
        order_id=row.order_id,
        product_id=row.product_id,
        price=msgspec.Raw(row.price),
        event_id=row.event_id,
        user_id=row.user_id,
    )


def _purchase(wire: _Wire, broker_ms: int, rules: EventRules) -> Purchase:
    event_time = _event_time(_required(wire.event_time, "event_time"), broker_ms)
    price = _price(wire.price)
    quantity, revenue = _totals(wire, price, rules.max_line_cents)
    return Purchase(
        _identifier(wire.event_id, "event_id"),
        event_time,
        _required_identifier(wire.order_id, "order_id"),
        _required_identifier(wire.product_id, "product_id"),
        _customer_by(rules, wire.user_id) if wire.user_id else None,
        _category_id(wire.category_id) if wire.category_id else None,
        _category(wire.category_code),
        _brand(wire.brand),
        _product_name(wire.product_name),
        abs(price),
        quantity,
        revenue,
        _replay_of(wire) if wire.replay_of else None,
        _order_digest(wire, wire.order_digest) if wire.order_digest else None,
    )


def _replay_of(wire: _Wire) -> str | None:
    if not wire.event_id:
        raise Invalid(Reason.MISSING_FIELD, "event_id is missing or empty: without it each replay would count")
    return _identifier(wire.replay_of, "replay_of")


def _order_digest(wire: _Wire, digest: str) -> str | None:
    """The digest of the order; None for a replay, which a person has looked at, and for a line without identity."""
    if _DIGEST.fullmatch(digest) is None:
        raise Invalid(Reason.BAD_ID, "order_digest must be 16 hexadecimal digits in lower case")
    return None if wire.replay_of or not wire.event_id else digest


def _required(value: str | None, field: str) -> str:
    if not value:
        raise Invalid(Reason.MISSING_FIELD, f"{field} is missing or empty")
    return value


def _identifier(value: str | None, field: str) -> str | None:
    if not value:
        return None
    # Most ids, and those of our producer; nothing below applies to them.
    if len(value) <= MAX_ID_LENGTH and (value.isalnum() or value.replace("_", "").isalnum()):
        return value
    if value[0] == "=":
        value = unquoted(value)
    if len(value) > MAX_ID_LENGTH or not is_clean(value):
        raise Invalid(Reason.BAD_ID, f"{field} must be 1 to {MAX_ID_LENGTH} characters without control characters")
    if value[:1] in _BEFORE_ROUNDED and is_rounded(value):
        raise Invalid(Reason.DAMAGED_ID, f"{field} {value[:40]!r} was rounded: a spreadsheet took it for a number")
    return value or None


def _exact(value: str | None, field: str) -> str | None:
    """The id of a field that may be empty: then table libraries write all ids of its column as floats."""
    if value is None or not value.endswith(".0"):
        return value
    exact = without_float(value)
    if exact is None:
        raise Invalid(Reason.DAMAGED_ID, f"{field} {value[:40]!r} was rounded: a table library took it for a number")
    return exact


def _required_identifier(value: str | None, field: str) -> str:
    if value and value.isdecimal() and len(value) <= MAX_ID_LENGTH:  # nothing else applies to it
        return value
    return _required(_known_identifier(value, field), field)


@lru_cache(maxsize=_CACHED_VALUES)
def _category_id(value: str) -> str | None:
    return _exact(_known_identifier(value, "category_id"), "category_id")


def _known_identifier(value: str | None, field: str) -> str | None:
    known = _identifier(value, field)
    return None if known in NO_VALUE else known


def _customer_by(rules: EventRules, value: str) -> str | None:
    user_id = _customer(value, rules.no_customer)
    if rules.erased is not None and user_id is not None and user_id in rules.erased:
        return None
    return user_id


def _customer(value: str, no_customer: frozenset[str]) -> str | None:
    if value.isdecimal() and len(value) <= MAX_ID_LENGTH:
        return None if value in no_customer else value
    user_id = _identifier(value, "user_id")
    if user_id is None or is_no_customer(user_id, no_customer):
        return None
    if user_id.isalnum():
        return user_id
    exact = _exact(user_id, "user_id")
    return None if exact is None or is_no_customer(exact, no_customer) else exact


def _text(value: str | None, field: str) -> str | None:
    if not value or value in NO_VALUE:
        return None
    if len(value) > MAX_TEXT_LENGTH or not is_clean(value):
        raise Invalid(Reason.BAD_TEXT, f"{field} must be at most {MAX_TEXT_LENGTH} characters, no control characters")
    return value


@lru_cache(maxsize=_CACHED_VALUES)
def _brand(value: str | None) -> str | None:
    return _text(value, "brand")


@lru_cache(maxsize=_CACHED_VALUES)
def _product_name(value: str | None) -> str | None:
    return _text(value, "product_name")


@lru_cache(maxsize=_CACHED_VALUES)
def _category(value: str | None) -> str | None:
    code = _text(value, "category_code")
    if code is not None and "." in code:
        levels = code.split(".")
        if len(levels) > MAX_CATEGORY_LEVELS or not all(levels):
            raise Invalid(Reason.BAD_TEXT, f"category_code must have 1 to {MAX_CATEGORY_LEVELS} levels, none empty")
    return code


def _event_time(text: str, broker_ms: int) -> int:
    try:
        event_ms = parse_time(text)
    except ValueError as error:
        raise Invalid(Reason.BAD_TIME, f"event_time {error}") from None
    if not EARLIEST_EVENT_MS <= event_ms <= broker_ms + FUTURE_TOLERANCE_MS:
        raise Invalid(Reason.BAD_TIME, f"event_time {text[:40]!r} is before 2000 or more than a day past its arrival")
    return event_ms


def _price(raw: msgspec.Raw) -> int:
    """The unit price in cents; whether it may be negative depends on the line's other numbers."""
    literal = bytes(raw)
    return _cached_unit_price(literal) if len(literal) <= _CACHED_LITERAL_BYTES else _unit_price(literal)


def _unit_price(raw: bytes) -> int:
    literal = _literal(raw)
    if literal is None:
        raise _NoPrice(Reason.MISSING_FIELD, "price is missing or empty")
    try:
        cents = parse_cents(literal)
    except ValueError as error:
        raise Invalid(Reason.BAD_PRICE, f"price {error}") from None
    if abs(cents) > MAX_UNIT_PRICE_CENTS:
        raise Invalid(Reason.BAD_PRICE, f"price {literal[:40]!r} is not within 0 to 9,999,999.99")
    return cents


_cached_unit_price = lru_cache(maxsize=_CACHED_VALUES)(_unit_price)


def _totals(wire: _Wire, price: int, max_cents: int) -> tuple[int, int]:
    if wire.quantity is _ABSENT and wire.amount is _ABSENT and 0 <= price <= max_cents:
        return 1, price
    try:
        return pieces_and_revenue(price, _literal(wire.quantity), _literal(wire.amount), max_cents)
    except InconsistentLine as error:
        raise Invalid(_TOTAL_REASONS[error.field], str(error)) from None


def _literal(raw: msgspec.Raw | bytes) -> str | None:
    """The text of a JSON string or number exactly as in the message; None where absent, null or empty."""
    text = bytes(raw)
    if text in (b"", b"null", b'""'):
        return None
    try:
        # The decoder does not look into a Raw: whether it is text is checked here.
        return _decode_text(text) if text.startswith(b'"') else without_exponent(text.decode())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(Reason.NOT_JSON, str(error)) from None
