"""Random purchases as Kafka's partitions, and what the live tables must hold once they are applied."""

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import redis
from aiokafka import TopicPartition

from services.common.events import Purchase, parse
from services.common.generations import FIRST_GENERATION, Generation
from tests.support.applier import TOPIC
from tests.support.live_tables import expected, held, scores, totals
from tests.support.records import NOW, FakeRecord, encode


def partitions_of(events: list[dict[str, Any]], seed: int, count: int = 3) -> dict[TopicPartition, list[FakeRecord]]:
    """Events spread over partitions at random; some are sent again, to any partition."""
    dice = random.Random(seed)
    logs: dict[TopicPartition, list[FakeRecord]] = {TopicPartition(TOPIC, n): [] for n in range(count)}
    sent: list[dict[str, Any]] = []
    for event in events:
        sent.append(event)
        _append(logs, event, dice)
        if dice.random() < 0.2:
            again = dice.choice(sent)
            _append(logs, again | {"event_id": again["event_id"] or "late"}, dice)
    return logs


def _append(logs: dict[TopicPartition, list[FakeRecord]], event: dict[str, Any], dice: random.Random) -> None:
    log = logs[TopicPartition(TOPIC, dice.randrange(len(logs)))]
    log.append(FakeRecord(len(log), encode(event), timestamp=NOW))


def counted(arrival: Iterable[FakeRecord]) -> list[Purchase]:
    """Each line once: of an order's equal lines under one event id the first that arrived."""
    seen: set[tuple[object, ...]] = set()
    lines = []
    for record in arrival:
        purchase = parse(record.value, NOW)
        assert isinstance(purchase, Purchase)
        identity = (purchase.order_id, purchase.event_id, purchase.product_id, purchase.quantity, purchase.revenue)
        if purchase.event_id is None or identity not in seen:
            lines.append(purchase)
        if purchase.event_id is not None:
            seen.add(identity)
    return lines


def assert_equal(client: redis.Redis, lines: list[Purchase], shards: int | Generation) -> None:
    built = Generation(FIRST_GENERATION, shards, "UTC") if isinstance(shards, int) else shards
    truth = expected(lines)
    assert held(client, truth, built.shards, built.name) == truth
    assert totals(client, built.shards, generation=built.name, name="revenue") == sum(line.revenue for line in lines)
    assert totals(client, built.shards, generation=built.name, name="quantity") == sum(line.quantity for line in lines)
    assert totals(client, built.shards, generation=built.name, name="events") == len(lines)
    assert totals(client, built.shards, generation=built.name, name="orders") == len({line.order_id for line in lines})
    assert totals(client, built.shards, generation=built.name, name="buyers") == len(
        {line.user_id for line in lines} - {None}
    )
    spend = Counter[str]()
    sold = Counter[str]()
    for line in lines:
        sold[line.product_id] += line.revenue
        if line.user_id is not None:
            spend[line.user_id] += line.revenue
    assert ranking(client, built, "spenders") == dict(spend)
    assert ranking(client, built, "products") == dict(sold)


def ranking(client: redis.Redis, built: Generation, table: str) -> dict[str, int]:
    return {member: -score for keys in built.keys for member, score in scores(client, keys(table)).items()}
