"""A purchase's trace: sender → Kafka's header → aggregator → Redis → stream, on real engines."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from services.common.tables import shard_keys
from services.producer.outbox import Outbox
from services.producer.rows import Record
from tests.support.applier import applier_of, store_of
from tests.support.engines import TopicFactory, TopicNames
from tests.support.gateway_app import client_of, settings_of
from tests.support.polling import eventually
from tests.support.spans import Spans, in_order, recorded

EVENT = {"event_time": "2020-04-24 11:50:39 UTC", "order_id": "1", "product_id": "2", "price": "162.01"}


@pytest.fixture
def names(topics: TopicFactory) -> TopicNames:
    return topics(partitions=1)


@pytest.fixture
async def gateway(redis_url: str, kafka: str, names: TopicNames) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway that has sent one event and has read the stream once."""
    given = {"redis_url": redis_url, "kafka_bootstrap": kafka, "purchases_topic": names.purchases}
    async with client_of(settings_of(**given, probe_seconds=0.1)) as client:

        async def sent() -> bool:
            return (await client.post("/v1/events", json=EVENT)).status_code == 202

        await eventually(sent, "the gateway reaches Kafka")
        yield client


async def records(kafka: str, topic: str, count: int) -> list[Any]:
    """The first records of the topic's only partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


async def until_streamed(spans: Spans) -> None:
    await eventually(lambda: any(span.name == "stream" for span in spans.ended), "the purchase is on the stream")


async def test_from_the_request_to_the_stream(
    gateway: httpx.AsyncClient, kafka: str, names: TopicNames, connection: Redis, client: redis.Redis
) -> None:
    with recorded() as spans:
        assert (await gateway.post("/v1/events", json=EVENT)).status_code == 202
        untraced, traced = await records(kafka, names.purchases, 2)
        assert (untraced.headers, untraced.value) == ((), traced.value), "a trace changes no event"
        applier = applier_of(store_of(connection))
        assert await applier.apply(TopicPartition(names.purchases, 0), [untraced, traced]) is None
        await until_streamed(spans)
    send, process = f"send {names.purchases}", f"process {names.purchases}"
    of_record = [(process, "apply.lua"), (process, "stream")]
    assert spans.edges() == in_order(
        [(None, "POST /v1/events"), ("POST /v1/events", send), (send, process), *of_record]
    )
    assert spans.traces() == 1
    assert (spans.named(process).attributes or {})["messaging.kafka.offset"] == traced.offset
    (keys,) = shard_keys(1)
    assert client.hget(keys("totals"), "events") == b"2"


def outbox_of(producer: AIOKafkaProducer, names: TopicNames) -> Outbox:
    return Outbox(
        producer,
        purchases=names.purchases,
        dead_letters=names.dead_letters,
        dead_letter_partitions=1,
        acknowledged=lambda batch: None,
        patience_s=60,
    )


async def test_rows_of_the_producer(kafka: str, names: TopicNames) -> None:
    rows = [Record(0, b"key", uuid.uuid4().hex.encode(), 0) for _ in range(3)]
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        outbox = outbox_of(producer, names)
        with recorded() as spans:
            outbox.put(rows[:2], next_row=3)
            assert not spans.ended, "a row's step ends once the broker has it"
            await outbox.drain()
        assert not any(span.parent for span in spans.ended)
        outbox.put(rows[2:], next_row=4)
        await outbox.drain()
    written = await records(kafka, names.purchases, 3)
    assert [record.value for record in written] == [row.value for row in rows]
    headers = [dict(record.headers).get("traceparent", b"").decode().split("-") for record in written]
    assert headers[2] == [""]
    ids = [[format(span.context.trace_id, "032x"), format(span.context.span_id, "016x")] for span in spans.ended]
    assert [header[1:3] for header in headers[:2]] == ids


async def test_rows_that_were_not_acknowledged_end_as_failed(kafka: str, names: TopicNames) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        outbox = outbox_of(producer, names)
        with recorded() as spans:
            outbox.put([Record(0, b"key", b"{}", 0)], next_row=2)
            outbox.close()
            (span,) = spans.ended
    assert span.status.description == "Unacknowledged"
