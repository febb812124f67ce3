"""Clients are stopped for good where the broker is away, and started once it is there."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, ProducerClosed, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest_v5, MetadataResponse_v5

from services.common.kafka import describe_topics, is_missing, producer_options, stop, stop_producer, until_reachable
from services.common.settings import KafkaSettings

AWAY = "127.0.0.1:1"


class Hanging(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka is untyped
    """A consumer whose end does not come."""

    async def stop(self) -> None:
        self._closed = True
        await asyncio.Event().wait()


class Escaping(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka is untyped
    """A consumer that lets a cancellation of its own out, as aiokafka does."""

    async def stop(self) -> None:
        self._closed = True
        raise asyncio.CancelledError


async def test_a_caller_that_is_cancelled_while_a_consumer_stops_ends() -> None:
    stopping = asyncio.create_task(stop(Hanging(bootstrap_servers=AWAY)))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_a_cancellation_of_the_consumer_s_own_is_not_the_caller_s() -> None:
    stopping = asyncio.create_task(stop(Escaping(bootstrap_servers=AWAY)))
    await asyncio.wait({stopping})
    assert not stopping.cancelled()
    assert stopping.exception() is None


async def test_a_producer_that_cannot_send_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    producer = AIOKafkaProducer(bootstrap_servers=AWAY)
    await producer._sender.start()  # as after a start; then the broker went away
    sending = await producer._message_accumulator.add_message(TopicPartition("away", 0), None, b"line", timeout=1)
    async with asyncio.timeout(30):
        await stop_producer(producer, 0.2)
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == before
    assert isinstance(sending.exception(), ProducerClosed)


class Asked(AIOKafkaAdminClient):  # type: ignore[misc]  # aiokafka is untyped
    """An admin client that keeps what it would send, and knows of no topic."""

    async def _send_request(self, request: Any, node_id: int | None = None) -> Any:
        self.sent = request.build(MetadataRequest_v5)
        return MetadataResponse_v5(0, [], "cluster", 0, [(3, topic, False, []) for topic in self.sent.topics])


async def test_asking_for_a_topic_does_not_create_it() -> None:
    admin = Asked(bootstrap_servers=AWAY)
    (described,) = await describe_topics(admin, ["products"])
    assert (admin.sent.topics, admin.sent.allow_auto_topic_creation) == (["products"], False)
    assert is_missing(described)
    await admin.close()


def test_a_topic_that_may_not_be_read_is_not_one_that_is_missing() -> None:
    partition = {"error_code": 0, "partition": 0, "leader": 1}
    assert not is_missing({"topic": "products", "error_code": 0, "partitions": [partition]})
    assert is_missing({"topic": "products", "error_code": 3, "partitions": []})
    with pytest.raises(TopicAuthorizationFailedError, match="products"):
        is_missing({"topic": "products", "error_code": 29, "partitions": []})


async def test_an_unreachable_broker_is_waited_for() -> None:
    errors: list[Exception] = [KafkaConnectionError("no broker"), ConnectionRefusedError("no route")]
    failures = iter(errors)
    waited: list[Exception] = []

    async def connect() -> str:
        for error in failures:
            raise error
        return "connected"

    assert await until_reachable(connect, waited.append, pause_s=0) == "connected"
    assert waited == errors


async def test_waiting_ends_where_the_caller_gives_up() -> None:
    async def connect() -> None:
        raise KafkaConnectionError("no broker")

    def give_up(error: Exception) -> None:
        raise TimeoutError(f"waited long enough: {error}")

    with pytest.raises(TimeoutError, match="no broker"):
        await until_reachable(connect, give_up, pause_s=0)


async def test_other_errors_are_not_waited_for() -> None:
    async def connect() -> None:
        raise ValueError("a mistake of ours")

    with pytest.raises(ValueError, match="ours"):
        await until_reachable(connect, lambda _error: None, pause_s=0)


def test_a_producer_may_retry_without_doubling_or_reordering() -> None:
    options = producer_options(KafkaSettings(kafka_bootstrap="broker:9092"))
    assert options["enable_idempotence"] is True
    assert options["acks"] == "all"
    assert options["bootstrap_servers"] == "broker:9092"
