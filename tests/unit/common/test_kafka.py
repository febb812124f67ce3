"""Clients are stopped for good where the broker is away."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerClosed

from services.common.kafka import stop, stop_producer

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
    await asyncio.create_task(stop(Escaping(bootstrap_servers=AWAY)))


async def test_a_producer_that_cannot_send_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    producer = AIOKafkaProducer(bootstrap_servers=AWAY)
    await producer._sender.start()  # as after a start; then the broker went away
    sending = await producer._message_accumulator.add_message(TopicPartition("away", 0), None, b"line", timeout=1)
    async with asyncio.timeout(5):
        await stop_producer(producer, 0.2)
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == before
    assert isinstance(sending.exception(), ProducerClosed)
