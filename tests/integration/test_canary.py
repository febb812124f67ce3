"""A canary takes a purchase's way through real engines, and no figure knows it."""

from typing import Any

import redis
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OutOfOrderSequenceNumber
from redis.asyncio import Redis

from services.common.canary import Canary, encode_canary
from services.common.events import parse
from services.common.tables import shard_keys
from services.gateway.upstreams.event_intake import EventProducer
from tests.support.applier import MemorySink, applier_of, store_of
from tests.support.engines import TopicFactory
from tests.support.gateway_app import client_of, settings_of
from tests.support.metrics import growth
from tests.support.polling import eventually

_EVERY_S = 0.05


async def canaries(kafka: str, topic: str) -> list[Any]:
    """The first records of each of the topic's two partitions."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
        found: dict[int, Any] = {}
        while len(found) < 2:
            record = await consumer.getone()
            found.setdefault(record.partition, record)
        return list(found.values())
    finally:
        await consumer.stop()


async def test_from_the_gateway_to_the_figures(
    redis_url: str, kafka: str, topics: TopicFactory, connection: Redis, client: redis.Redis
) -> None:
    names, sink = topics(partitions=2), MemorySink()
    shown = growth("gateway_canary_seconds_count", stage="figures")
    given = {"redis_url": redis_url, "kafka_bootstrap": kafka, "purchases_topic": names.purchases}
    async with client_of(settings_of(**given, probe_seconds=0.1, canary_seconds=_EVERY_S)) as gateway:
        sent = await canaries(kafka, names.purchases)
        assert all(isinstance(parse(record.value, record.timestamp), Canary) for record in sent)
        applier = applier_of(store_of(connection), sink)
        for record in sent:
            assert record.offset == 0
            assert await applier.apply(TopicPartition(names.purchases, record.partition), [record]) is None
        await eventually(lambda: shown() >= 2, "the marks are past both canaries, and nothing else was applied")
        summary = (await gateway.get("/v1/stats/summary")).json()
        assert (summary["events"], summary["orders"], summary["dead_letters"], summary["freshness_ms"]) == (
            0,
            0,
            0,
            None,
        )
    (keys,) = shard_keys(1)
    names_of_tables = {key.decode().removeprefix(keys("")) for key in client.scan_iter()}
    assert names_of_tables <= {"marks", "totals"}, "no other table has heard of them"
    assert sink.rejected == []


async def test_a_canary_that_meets_a_dead_producer_gets_another_one_made(kafka: str, topics: TopicFactory) -> None:
    topic = topics(partitions=1).purchases
    events = EventProducer(settings_of(kafka_bootstrap=kafka), topic)
    await events.connect()
    try:
        dead = events._producer
        assert dead is not None
        # What aiokafka does on an error that its idempotent producer cannot recover from.
        dead._message_accumulator.fail_all(OutOfOrderSequenceNumber())
        assert await events.send_to(encode_canary("first"), 0) is None
        await events.connect()
        record = await events.send_to(encode_canary("second"), 0)
        assert record is not None
        assert (record.partition, record.offset) == (0, 0)
    finally:
        await events.close()
