"""A line counts once, whoever sends it: the same in the live tables on a real Valkey, in the batch job, and for the
recommender.
"""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from services.common.dead_letters import RecordOrigin
from services.common.line_identity import LineVerdict
from services.deadletters.dead_letter import DeadLetter
from services.deadletters.repair import Repair, ValidEvent, apply_repair, as_is
from services.gateway.hooks import shopify, woocommerce
from services.gateway.hooks.delivery import Delivery, Sale, decode
from tests.support.applied_figures import assert_equal
from tests.support.applier import TOPIC, MemorySink, applier_of, store_of
from tests.support.producer import row, write_file
from tests.support.records import NOW
from tests.support.senders import Topic, counted_by_batch, counted_by_follower, purchases_at
from tests.support.webhooks import (
    encode,
    shopify_line,
    shopify_order,
    shopify_refund,
    woocommerce_line,
    woocommerce_order,
)

SHARDS = 2
EVENT: dict[str, Any] = {
    "event_time": "2020-04-24T11:50:39Z",
    "order_id": "o",
    "product_id": "p",
    "price": "2.50",
    "user_id": "ann",
}


class Shop:
    """A topic and the live tables that follow it."""

    def __init__(self, connection: Redis, client: redis.Redis, folder: Path) -> None:
        self.topic = Topic()
        self.folder = folder
        self.sink = MemorySink()
        self._applier = applier_of(store_of(connection, SHARDS), self.sink)
        self._client = client

    def export(self, name: str, rows: list[str]) -> None:
        self.topic.export(write_file(self.folder / name, rows))

    def send(self, *changes: dict[str, Any]) -> None:
        self.topic.put_all(json.dumps(EVENT | change).encode() for change in changes)

    async def assert_counted(self, *numbers: int) -> None:
        """Of all records exactly these count, for every reader."""
        await self.topic.apply(self._applier)
        batch, follower = counted_by_batch(self.topic), counted_by_follower(self.topic)
        assert [number for number, outcome in enumerate(batch) if outcome == "accepted"] == list(numbers)
        assert [number for number, verdict in enumerate(follower) if verdict is LineVerdict.COUNTS] == list(numbers)
        assert_equal(self._client, purchases_at(self.topic, numbers), SHARDS)


@pytest.fixture
async def shop(connection: Redis, client: redis.Redis, tmp_path: Path) -> Shop:
    return Shop(connection, client, tmp_path)


def rows(start: int, end: int) -> list[str]:
    return [row(number, anonymous=number // 2 % 3 == 0) for number in range(start, end)]


async def test_daily_exports_of_one_name_all_count_and_each_again_adds_nothing(shop: Shop) -> None:
    for first, last in ((0, 100), (100, 200), (100, 200), (0, 100)):
        shop.export("orders.csv", rows(first, last))
    await shop.assert_counted(*range(200))


async def test_a_rolling_export_adds_only_what_is_new(shop: Shop) -> None:
    for day in range(5):
        shop.export("orders.csv", rows(20 * day, 20 * day + 60))
    new = [*range(60), *(60 * day + 40 + line for day in range(1, 5) for line in range(20))]
    await shop.assert_counted(*new)


async def test_name_order_of_rows_and_partitions_change_nothing(shop: Shop) -> None:
    twice = [*rows(0, 100), *rows(10, 12)]  # two equal rows of an order are two pieces
    shop.export("kz.csv", twice)
    await shop.assert_counted(*range(102))
    shop.topic.partitions = 8
    shop.export("export (2).csv", twice[::-1])
    await shop.assert_counted(*range(102))


async def test_an_order_that_changed_is_listed_and_counts_once_it_is_accepted(shop: Shop) -> None:
    shop.export("monday.csv", rows(0, 4))
    changed = rows(0, 4)
    changed[3] = changed[3].replace(row(3).split(",")[6], "99.99")
    for name in ("tuesday.csv", "wednesday.csv"):
        shop.export(name, changed)
    await shop.assert_counted(0, 1, 2, 3)
    listed = [number for number, outcome in enumerate(counted_by_batch(shop.topic)) if outcome == "order_changed"]
    assert listed == [7, 11]
    assert len(shop.sink.offsets) == 2
    for number in listed:  # a person replays both dead letters: they are one line
        replay(shop, number, as_is)
    await shop.assert_counted(0, 1, 2, 3, 12)
    shop.export("thursday.csv", changed)
    await shop.assert_counted(0, 1, 2, 3, 12)
    assert len(shop.sink.offsets) == 2, "an accepted line is listed no more"


def replay(shop: Shop, number: int, repair: Repair) -> None:
    partition, record = shop.topic.records[number]
    origin = RecordOrigin(TOPIC, partition, record.offset)
    letter = DeadLetter(origin, "order_changed", "", NOW, "aggregator", record.value or b"")
    repaired = apply_repair(letter, repair, NOW)
    assert isinstance(repaired, ValidEvent)
    shop.topic.put(repaired.value, partition)


def priced(price: str) -> Repair:
    return lambda event, _letter: event | {"price": price}


async def test_two_repairs_of_a_dead_letter_count_once_and_with_its_sender_s_correction(shop: Shop) -> None:
    shop.send({"event_id": "1", "price": "x"}, {"event_id": "2", "price": "x"}, {"price": "x"})
    shop.send({"event_id": "2", "price": "4.00"})  # its sender has corrected it meanwhile
    for number, price in ((0, "3.00"), (0, "4.00"), (1, "4.00"), (2, "5.00"), (2, "6.00")):
        replay(shop, number, priced(price))
    await shop.assert_counted(3, 4, 7)


async def test_ids_in_any_order_and_lines_that_share_one_count(shop: Shop) -> None:
    shop.send({"event_id": "o:2"}, {"event_id": "o:1"}, {"event_id": "o:1"})
    shop.send({"event_id": "o:2", "quantity": -1}, {"event_id": "o:2", "quantity": "-1"})
    at = {"event_id": "2026-03-01T12:00:05"}
    shop.send(at, at | {"product_id": "q"}, at | {"order_id": "next"}, at)
    await shop.assert_counted(0, 1, 3, 5, 6, 7)


async def test_nobody_silences_the_rows_of_a_file(shop: Shop) -> None:
    for partition in range(shop.topic.partitions):
        poison = EVENT | {"order_id": f"poison-{partition}", "event_id": "kz.csv:999999999999999"}
        shop.topic.put(json.dumps(poison).encode(), partition)
    shop.export("kz.csv", rows(0, 50))
    await shop.assert_counted(*range(54))


async def test_an_import_sent_twice_counts_once_however_large(shop: Shop) -> None:
    lines = 3_001  # `python -m bench.sent_twice` does the same with 100,001 and more
    imported = [{"event_id": str(uuid.UUID(int=line)), "order_id": f"o{line // 3}"} for line in range(lines)]
    shop.send(*imported)
    shop.send(*imported)
    await shop.assert_counted(*range(lines))


async def test_an_event_without_key_or_customer_then_with_its_customer_counts_once(shop: Shop) -> None:
    shop.send({"event_id": "1", "user_id": None})
    shop.send({"event_id": "1"}, {"event_id": "1", "brand": "acme"})
    await shop.assert_counted(0)


async def test_events_without_identity_count_each_time_or_once_a_request(shop: Shop) -> None:
    body = json.dumps([EVENT, EVENT, EVENT | {"order_id": "next"}]).encode()
    shop.topic.post(body)
    shop.topic.post(body)
    for _ in range(2):
        shop.topic.post(body, key="8e03978e")
    shop.topic.post(body, key="another")
    await shop.assert_counted(*range(9), *range(12, 15))


def taken(body: dict[str, Any], reader: Callable[[dict[str, Any], Sale], Delivery]) -> Delivery:
    return reader(decode(encode(body)), Sale.PAID)


def deliver(shop: Shop, *deliveries: Delivery) -> None:
    """Webhooks: the records of an order are in one partition."""
    for delivery in deliveries:
        for key, value in delivery.records:
            shop.topic.put(value, sum(key) % shop.topic.partitions)


async def test_shopify_s_deliveries_count_once_in_any_order(shop: Shop) -> None:
    at, later = {"created_at": "2020-04-24T11:50:39Z"}, {"created_at": "2020-04-25T11:50:39Z"}
    shirt, hat = shopify_line(1, "19.90", 2), shopify_line(2, "10.00")
    refund = shopify_refund(shirt, "19.90") | later
    paid = taken(shopify_order(shirt, hat, **at), shopify.read)
    updated = taken(
        shopify_order(hat, shirt, financial_status="partially_refunded", refunds=[refund], **at), shopify.read
    )
    alone = taken(refund, shopify.read)
    deliver(shop, alone, alone, paid, updated, paid, alone, updated)
    await shop.assert_counted(0, 2, 3)
    assert shop.sink.reasons == []
    edited = taken(shopify_order(shirt | {"quantity": 3}, hat, **at), shopify.read)
    deliver(shop, edited, edited, updated)
    await shop.assert_counted(0, 2, 3)
    assert shop.sink.reasons == ["order_changed"] * 2


async def test_woocommerce_s_refunds_count_once_and_a_changed_order_s_are_for_a_person(shop: Shop) -> None:
    at = {"date_created_gmt": "2020-04-24T11:50:39", "date_modified_gmt": "2020-04-25T11:50:39"}
    pen, ink = woocommerce_line(1, "20.00"), woocommerce_line(2, "10.00")
    refunds = [{"id": 726, "total": "-10.00"}]

    def read(*lines: dict[str, Any], refunds: list[dict[str, Any]]) -> Delivery:
        return taken(woocommerce_order(*lines, total="30.00", refunds=refunds, **at), woocommerce.read)

    created, refunded = read(pen, ink, refunds=[]), read(ink, pen, refunds=refunds)
    deliver(shop, refunded, created, refunded)
    await shop.assert_counted(0, 1, 2, 3)
    deliver(shop, read(pen | {"total": "25.00"}, ink, refunds=refunds))
    await shop.assert_counted(0, 1, 2, 3)
    assert shop.sink.reasons == ["order_changed"] * 2  # the line, and its share of the refund
