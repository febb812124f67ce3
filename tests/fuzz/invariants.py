"""Invariants of every message. Amounts and times of a purchase are decoded here a second time, independently."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from local.reference import NO_CUSTOMER
from services.common.archive.lines import archive_line
from services.common.canary import Canary
from services.common.dead_letters import RecordOrigin, cut, dead_letter_headers, origin_of, reason_of
from services.common.events import (
    EARLIEST_EVENT_MS,
    FUTURE_TOLERANCE_MS,
    MAX_CATEGORY_LEVELS,
    MAX_ID_LENGTH,
    MAX_TEXT_LENGTH,
    Purchase,
    Reason,
    Rejected,
    parse,
)
from services.common.line_totals import DEFAULT_MAX_LINE_CENTS, MAX_QUANTITY
from services.common.money import MAX_UNIT_PRICE_CENTS, format_cents
from services.common.times import format_time
from services.gateway.api.problems import Problem
from services.gateway.upstreams.event_intake import read_events
from spark.records import CHECKED, PURCHASE, Row, checked_row
from tests.support.shop import SEED_COLUMNS

LONGEST_NS = 250_000_000
"""Time of the processor that no message may take; an honest one takes some 5,000 ns."""

_DEEP = 600
_MANY_BRACKETS = 8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_IDS = ("event_id", "order_id", "product_id", "user_id", "category_id", "replay_of")
_TEXTS = (*_IDS, "category_code", "brand", "product_name")
_ORIGIN = RecordOrigin("purchases", 3, 12)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY = {name.casefold() for name in NO_CUSTOMER.split(",")}
_NOTHING = {r"\N", "NULL", "null", "(null)", "None", "NaN", "nan", "undefined", "[object Object]"}
_NOTHING |= {"#N/A", "N/A", "n/a", "<NA>"}


class Broken(Exception):
    """A promise that a message has broken."""


class _Number(str):
    """The text of a JSON number: it may be one that no number type can hold."""

    __slots__ = ()


class Judged(NamedTuple):
    """A message's verdict, as a word, and the processor's time that the verdict took (ns)."""

    verdict: str
    cpu_ns: int


def judge(value: bytes | None, broker_ms: int) -> Judged:
    """Judge the message in every way that the system does. Raises Broken."""
    try:
        return _judge(value, broker_ms)
    except Broken:
        raise
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {error}") from error


def _judge(value: bytes | None, broker_ms: int) -> Judged:
    started = time.thread_time_ns()
    verdict = parse(value, broker_ms)
    cpu_ns = time.thread_time_ns() - started
    assert not isinstance(verdict, Canary), "no message is one"
    _require(cpu_ns < LONGEST_NS, f"the verdict took {cpu_ns / 1e6:.0f} ms")
    _require(parse(value, broker_ms) == verdict, "the second verdict is another one")
    if value is not None and value.count(b"[") + value.count(b"{") > _MANY_BRACKETS:
        _require(_from_a_deep_stack(_DEEP, value, broker_ms) == verdict, "the verdict depends on the caller's stack")
    _check_archive(value, broker_ms, verdict)
    if isinstance(verdict, Rejected):
        _check_dead_letter(value or b"", verdict)
        _check_intake(value, None)
        return Judged(verdict.reason.value, cpu_ns)
    assert value is not None
    _check_purchase(verdict, broker_ms)
    _check_independently(verdict, value)
    _check_round_trip(verdict, broker_ms)
    _check_intake(value, verdict)
    return Judged("purchase", cpu_ns)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


def _from_a_deep_stack(calls: int, value: bytes, broker_ms: int) -> Purchase | Rejected | Canary:
    return _from_a_deep_stack(calls - 1, value, broker_ms) if calls else parse(value, broker_ms)


def _check_archive(value: bytes | None, broker_ms: int, verdict: Purchase | Rejected) -> None:
    """The batch job reads the archive's line, and must come to the verdict of the stream."""
    line = archive_line(3, 12, broker_ms, value)
    _require(
        line.endswith(b"\n") and line.count(b"\n") == 1 and b"\r" not in line, "the archive's line is not one line"
    )
    found = checked_row(line[:-1], "no/hour.json.gz", 0)
    _require(found[:3] == (3, 12, broker_ms), f"the archive's line has lost its place: {found[:3]}")
    judged = outcome_in(found)
    _require(judged == outcome_of(verdict), f"the batch job says {judged}, the stream {verdict}")


def outcome_in(checked: Row) -> Row:
    """The purchase and the reason in a row of the batch job, which follow the record's place."""
    columns = dict(zip((name for name, _kind in CHECKED), checked, strict=True))
    return (*(columns[name] for name, _kind in PURCHASE), columns["reason"])


def outcome_of(verdict: Purchase | Rejected) -> tuple[int | str | None, ...]:
    """The columns that the batch job should have for a verdict: the purchase's, then the reason."""
    if isinstance(verdict, Purchase):
        return (*(getattr(verdict, name) for name, _kind in PURCHASE), None)
    return (*(None,) * len(PURCHASE), verdict.reason.value)


def _check_dead_letter(value: bytes, rejected: Rejected) -> None:
    _require(type(rejected.reason) is Reason and bool(rejected.detail), "a refusal without a reason or its words")
    kept, told = cut(value, rejected)
    headers = dead_letter_headers(_ORIGIN, told, "fuzz")
    _require(value.startswith(kept), "the dead letter holds other bytes")
    _require(origin_of(headers) == _ORIGIN and reason_of(headers) == rejected.reason, "the dead letter's headers")
    _require(len(dict(headers)["detail"].decode()) <= 500, "the dead letter's detail is long")


def _check_purchase(purchase: Purchase, broker_ms: int) -> None:
    for name in _IDS:
        _check_text(name, getattr(purchase, name), MAX_ID_LENGTH, required=name in ("order_id", "product_id"))
    for name in ("category_code", "brand", "product_name"):
        _check_text(name, getattr(purchase, name), MAX_TEXT_LENGTH)
    _require(purchase.replay_of is None or purchase.event_id is not None, "a replay without an event id")
    digest = purchase.order_digest
    _require(digest is None or (re.fullmatch("[0-9a-f]{16}", digest) is not None), f"a digest {digest!r}")
    _require(digest is None or (purchase.event_id is not None and not purchase.replay_of), "a digest without identity")
    levels = (purchase.category_code or "unknown").split(".")
    _require(len(levels) <= MAX_CATEGORY_LEVELS and all(levels), "levels of the category")
    _check_number("event_time", purchase.event_time, EARLIEST_EVENT_MS, broker_ms + FUTURE_TOLERANCE_MS)
    _check_number("price", purchase.price, 0, MAX_UNIT_PRICE_CENTS)
    _check_number("quantity", purchase.quantity, -MAX_QUANTITY, MAX_QUANTITY)
    _check_number("revenue", purchase.revenue, -DEFAULT_MAX_LINE_CENTS, DEFAULT_MAX_LINE_CENTS)


def _check_text(name: str, text: str | None, longest: int, required: bool = False) -> None:
    if text is None:
        _require(not required, f"{name} is missing")
        return
    _require(type(text) is str and 1 <= len(text) <= longest, f"{name} is {text!r}")
    _require(_CONTROL.search(text) is None, f"{name} holds a control character: {text!r}")
    text.encode()


def _check_number(name: str, number: int, low: int, high: int) -> None:
    _require(type(number) is int and low <= number <= high, f"{name} is {number!r}")


def _check_independently(purchase: Purchase, value: bytes) -> None:
    """The same message through Python's own JSON and decimals."""
    # Only an unknown field can hold bytes that are no text: its value is passed over.
    event = _put_right(json.loads(value.decode(errors="replace"), parse_float=_Number, parse_int=_Number))
    for name in _TEXTS:
        text = event.get(name) or None
        same = getattr(purchase, name) == _meant(name, text) and not isinstance(text, _Number)
        _require(same, f"{name} is not what stands in the message")
    quantity, amount, price = event.get("quantity"), event.get("amount"), _number(event["price"])
    pieces = None if quantity in (None, "") else _number(quantity)
    total = price * (1 if pieces is None else pieces) if amount in (None, "") else _number(amount)
    _require(purchase.revenue == total.scaleb(2), "the revenue is neither the amount nor price x quantity")
    _require(purchase.price == abs(price).scaleb(2), "the price differs")
    _require(purchase.quantity == (pieces if pieces is not None else -1 if total < 0 else 1), "the quantity differs")
    _require(purchase.revenue * purchase.quantity >= 0, "pieces and revenue have opposite signs")
    _require(purchase.event_time == _milliseconds(event["event_time"]), "the event time differs")


def _put_right(event: dict[str, Any]) -> dict[str, Any]:
    """A row of six fields that was mapped by position has no price; anything else stays as it is."""
    if event.get("price") not in (None, ""):
        return event
    _require(event.keys() <= {*SEED_COLUMNS, "event_id"}, f"a repair of what is no short row: {event.keys()}")
    moved = ("category_id", "price", "user_id")
    _require(not any(map(event.get, moved)), "a repair of what is no short row")
    return event | {"price": event["category_code"], "user_id": event["brand"], "category_code": None, "brand": None}


def _meant(name: str, text: Any) -> Any:
    """The text without what spreadsheets, databases and table libraries put in its place."""
    if not isinstance(text, str):
        return text
    if name in _IDS and name != "replay_of" and text[:2] == '="' and text.endswith('"') and text.count('"') == 2:
        text = text[2:-1]
    if name == "user_id" and text.strip().casefold() in _NOBODY:
        return None
    if name in ("user_id", "category_id") and re.fullmatch(r"[0-9]+\.0", text):
        text = text.removesuffix(".0")
    missing = text.strip().casefold() in _NOBODY if name == "user_id" else text in _NOTHING
    return None if not text or (missing and name not in ("event_id", "replay_of")) else text


def _number(text: str) -> Decimal:
    return Decimal(text.strip().strip("\u200b\ufeff").strip().removeprefix("'").replace("\u2212", "-"))


def _milliseconds(text: str) -> int:
    moment = datetime.fromisoformat(text.replace(" UTC", "Z").upper())
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _check_round_trip(purchase: Purchase, broker_ms: int) -> None:
    event = msgspec.structs.asdict(purchase) | {
        "event_time": format_time(purchase.event_time),
        "price": format_cents(purchase.price),
        "amount": format_cents(purchase.revenue),
    }
    _require(parse(json.dumps(event).encode(), broker_ms) == purchase, "the purchase does not survive being sent again")


def _check_intake(value: bytes | None, purchase: Purchase | None) -> None:
    """The gateway takes what the stream takes (but for bytes that are no text), and answers the rest with a problem."""
    try:
        sent = read_events(value or b"")
    except Problem as problem:
        refusable = purchase is None or not _is_text(value or b"")
        _require(problem.status_code == 422 and refusable, f"the intake refuses: {problem.detail}")
        return
    exported = purchase is not None and purchase.order_digest is not None
    same = exported or purchase is None or [one.outcome for one in sent] == [purchase]
    _require(same, "the intake says otherwise")


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
