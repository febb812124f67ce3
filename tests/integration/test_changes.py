"""`changes` on a real Kafka: each record of Debezium counts once, across a restart and a second snapshot."""

import asyncio
import json
import uuid
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.common.events import Purchase, parse
from services.common.kafka import make_consumer
from services.common.settings import KafkaSettings
from services.common.topics import PURCHASES
from services.producer.changes.corrections import Corrections
from services.producer.changes.follow import ChangesLost, Counts, Follower, changes_consumer, fetch
from services.producer.settings import ProducerSettings
from services.provision.topics import create
from tests.support.changes import MAPPING, Record, recorded
from tests.support.engines import TopicFactory


async def write(kafka: str, topic: str, records: list[Record]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    for key, value in records:
        await producer.send_and_wait(topic, value, key)
    await producer.stop()


async def follow(settings: ProducerSettings, topic: str, group: str) -> Counts:
    follower = Follower(topic, group, Corrections(MAPPING), settings)
    await follower.run(asyncio.Event(), until_end=True)
    return follower.counts


async def fetched(consumer: AIOKafkaConsumer) -> None:
    """Return once something came; nothing does until Kafka has answered."""
    while not await fetch(consumer):
        pass


async def written(settings: ProducerSettings) -> list[Any]:
    consumer = make_consumer(settings)
    await consumer.start()
    partition = TopicPartition(settings.purchases_topic, 0)
    consumer.assign([partition])
    await consumer.seek_to_beginning()
    end = (await consumer.end_offsets([partition]))[partition]
    found = []
    while await consumer.position(partition) < end:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            found += [parse(record.value, record.timestamp) for record in records]
    await consumer.stop()
    return found


def revenue(lines: list[Any]) -> int:
    """Cents of the distinct lines."""
    return sum({(line.order_id, line.event_id): line.revenue for line in lines if isinstance(line, Purchase)}.values())


@pytest.fixture
def settings(kafka: str, topics: TopicFactory) -> ProducerSettings:
    return ProducerSettings(kafka_bootstrap=kafka, purchases_topic=topics(partitions=1).purchases)


async def test_changes_count_once(kafka: str, settings: ProducerSettings) -> None:
    topic = f"shop.{uuid.uuid4().hex[:8]}.order_lines"
    await create(KafkaSettings(kafka_bootstrap=kafka), [replace(PURCHASES, name=topic, partitions=1)])
    records = recorded("text")
    await write(kafka, topic, records[:6])
    first = await follow(settings, topic, "one")
    assert (first.records, first.events) == (6, 6)
    snapshot = [(key, _with_another_price(value)) for key, value in records[:3]]
    await write(
        kafka, topic, [*records[6:], *records[5:9], *snapshot]
    )  # four come again, and the snapshot is taken anew
    second = await follow(settings, topic, "one")
    assert (second.records, second.unread, second.later_snapshots) == (len(records) - 6 + 7, 2, 3)
    lines = await written(settings)
    assert revenue(lines) == 3750
    await follow(settings, topic, "two")  # from the begin
    again = await written(settings)
    assert len(again) > len(lines)
    assert revenue(again) == 3750


async def test_a_position_is_kept_from_the_start_and_a_loss_stops(kafka: str, settings: ProducerSettings) -> None:
    topic = f"shop.{uuid.uuid4().hex[:8]}.order_lines"
    await create(KafkaSettings(kafka_bootstrap=kafka), [replace(PURCHASES, name=topic, partitions=1)])
    partition = TopicPartition(topic, 0)
    await follow(settings, topic, "kept")
    consumer = changes_consumer(settings, "kept")
    await consumer.start()
    try:
        consumer.assign([partition])
        assert await consumer.committed(partition) == 0  # of a partition without a record
        consumer.seek(partition, 5000)
        with pytest.raises(ChangesLost, match="no longer has offset 5,000"):
            await fetched(consumer)
        await consumer.commit({partition: 5000})
    finally:
        await consumer.stop()
    with pytest.raises(ChangesLost, match="ends at 0 and was read to 5,000"):
        await follow(settings, topic, "kept")
    again = Follower(topic, "kept", Corrections(MAPPING), settings, from_first=True)
    await again.run(asyncio.Event(), until_end=True)
    await write(kafka, topic, recorded("text")[:3])
    assert (await follow(settings, topic, "kept")).later_snapshots == 3


def _with_another_price(value: bytes | None) -> bytes:
    record = json.loads(value or b"")
    record["after"] |= {"price": "99.00", "status": "paid"}
    return json.dumps(record).encode()
