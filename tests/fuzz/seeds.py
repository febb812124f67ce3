"""Seed messages: valid ones of every known kind, as keys and values in their JSON text."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from services.common.times import format_time
from tests.support.shop import SEED_COLUMNS, TILL_COLUMNS, Row, bare_message, seed_rows, till_rows, whole_rows

BROKER_MS = 1_700_000_000_123
FIELDS = [*TILL_COLUMNS, "event_id", "replay_of", "order_digest"]

Pairs = list[tuple[bytes, bytes]]
"""The members of an object: key and value as JSON text, which need not be valid."""


def valid_messages() -> Iterator[Pairs]:
    """A few hundred messages, the same each time."""
    for number, row in enumerate(_accepted(whole_rows(1, 300))):
        yield _pairs(_bare(row))
        yield _pairs(_ours(row, number))
    for number, row in enumerate(_accepted(till_rows(2, 200))):
        yield _pairs(_till(row, number))
        yield _pairs(_in_numbers(row))
    for row in _accepted([row for row in seed_rows(3, 300) if len(row) == 6]):
        yield _pairs(json.loads(bare_message(row)))
    yield from map(_pairs, _unusual())


def written(pairs: Pairs, space: Callable[[], bytes] = bytes) -> bytes:
    """The object's text; `space` gives what stands between two tokens."""
    members = b",".join(b"".join([space(), key, space(), b":", space(), value, space()]) for key, value in pairs)
    return b"{%b}" % members


def quoted(text: str) -> bytes:
    """The text as a JSON string."""
    return json.dumps(text, ensure_ascii=False).encode()


def _pairs(event: dict[str, Any]) -> Pairs:
    return [(quoted(name), json.dumps(value, ensure_ascii=False).encode()) for name, value in event.items()]


def _accepted(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row[0].startswith("1970")]


def _bare(row: Row) -> dict[str, Any]:
    """Eight fields, all of them strings: producers in the wild."""
    return dict(zip(SEED_COLUMNS, row, strict=True))


def _ours(row: Row, number: int) -> dict[str, Any]:
    """What our producer writes: an identity first, and no empty field."""
    whole = {"event_id": f"{number % 7:016x}_1", "order_digest": f"{number % 3:016x}"}
    return whole | {name: text for name, text in _bare(row).items() if text}


def _till(row: Row, number: int) -> dict[str, Any]:
    """Lines with pieces, returns, amounts and names, each with an id of its own."""
    return {"event_id": f"till-{number:08x}", **dict(zip(TILL_COLUMNS, row, strict=True))}


def _in_numbers(row: Row) -> dict[str, Any]:
    """Nulls, integers and RFC 3339 times, as a till with a JSON library sends them."""
    event = dict(zip(TILL_COLUMNS, row, strict=True))
    quantity = int(event["quantity"] or 1)
    time = event["event_time"].replace(" UTC", "+00:00").replace(" ", "T")
    return {name: text or None for name, text in event.items()} | {"event_time": time, "quantity": quantity}


def _unusual() -> Iterator[dict[str, Any]]:
    usual = {"event_time": format_time(BROKER_MS), "order_id": "1", "product_id": "2", "price": "1.10"}
    yield usual
    yield usual | {"order_id": "заказ/№ 1", "product_id": "😀" * 64, "user_id": 'quo"te\\', "brand": "é\u2028\ufeff"}
    yield usual | {"price": "9999999.99", "quantity": -1}
    yield usual | {"price": 12, "quantity": "-3", "amount": "-9999999.99"}
    yield usual | {"price": "0", "quantity": 0, "amount": 0}
    yield usual | {"event_time": "2020-02-29T23:59:59.999999999-23:59", "category_code": "a.b.c.d.e.f.g.h"}
    yield usual | {"user_id": "u" * 128, "product_name": "n" * 256, "category_id": " "}
    yield usual | {"event_id": "kz.csv:12:replay", "order_digest": "0" * 16, "replay_of": "kz.csv:12"}
    yield usual | {"event_id": "0b5c", "replay_of": "purchases/3/17"}
    yield usual | {"store": {"till": [1, 2.5, None, {"open": True}]}, "note": '[{"\\' * 20}
