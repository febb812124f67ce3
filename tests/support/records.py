"""Kafka records without Kafka, and random purchases to fill them with."""

import random
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.common.dead_letters import Headers
from services.common.money import format_cents
from services.common.times import format_time

NOW = 1_790_000_000_000
NEWEST = NOW - 3_600_000


@dataclass
class FakeRecord:
    offset: int
    value: bytes | None = b""
    timestamp: int = NOW
    headers: Headers = field(default_factory=list)


def purchase_record(offset: int, event_id: str | None = None) -> FakeRecord:
    """The smallest valid purchase."""
    identity = f'"event_id":"{event_id}",' if event_id else ""
    return FakeRecord(
        offset,
        f'{{{identity}"event_time":"2020-04-24T11:50:39Z","order_id":"o","product_id":"p","price":"1.00"}}'.encode(),
    )


def encode(purchase: dict[str, Any]) -> bytes:
    return msgspec.json.encode({name: value for name, value in purchase.items() if value is not None})


def random_events(seed: int, count: int) -> list[dict[str, Any]]:
    """Few orders, users and products, so that everything meets everything; some returns, some long ago."""
    dice = random.Random(seed)
    return [
        {
            "event_id": dice.choice([None, f"file.csv:{row}", f"uuid-{dice.randrange(count)}"]),
            "event_time": format_time(NEWEST - int(dice.expovariate(1 / (4 * 86_400_000)))),
            "order_id": f"order-{dice.randrange(count // 3 + 1)}",
            "product_id": f"product-{dice.randrange(20)}",
            "user_id": dice.choice([None, f"user-{dice.randrange(30)}"]),
            "category_code": dice.choice([None, "a", "a.b", "a.b.c", "a.d", "e.f"]),
            "brand": dice.choice([None, "x", "y"]),
            "price": format_cents(dice.randrange(100_000)),
            "quantity": dice.choice([1, 1, 1, 2, -1]),
        }
        for row in range(count)
    ]
