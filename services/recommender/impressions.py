"""Impressions for topic `recommendations`: which model showed what to whom. Never delays an answer.

An impression is put into a bounded queue, or dropped and counted; a task sends them. While Kafka is unavailable the
queue fills up and the rest is dropped; answers continue.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.common.kafka import client_options, stop_producer
from services.common.metrics import RECOMMENDER_RECORDS, RECOMMENDER_RECORDS_DROPPED
from services.common.settings import KafkaSettings
from services.recommender.ab_assignment import sampled

logger = logging.getLogger(__name__)

_QUEUE = 10_000
_RETRY_S = 2.0
_STOP_S = 1.0


class Impression(msgspec.Struct, frozen=True):
    """One answer to one customer: the contract of topic `recommendations`."""

    time: str  # of the answer, RFC 3339
    user_id: str
    variant: str
    model_version: str
    strategy: str
    product_ids: Sequence[str]  # best first


class ImpressionLog:
    """Sends a sample of the impressions, by customer: all of a customer's, or none."""

    def __init__(self, settings: KafkaSettings, topic: str, share: float) -> None:
        """`share` of the customers, 0 to 1; with 0 nothing is ever sent and no connection is made."""
        self._settings = settings
        self._topic = topic
        self._share = share
        self._queue: asyncio.Queue[Impression] = asyncio.Queue(_QUEUE)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to send; returns at once, whether Kafka is there or not."""
        if self._share:
            self._task = asyncio.create_task(self._run(), name="impression-log")

    async def close(self) -> None:
        """Send what is left, within a second, and stop."""
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._queue.join(), _STOP_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add(self, user_id: str, make: Callable[[], Impression]) -> None:
        """Queue the impression that `make` returns, if the customer is in the sample."""
        if self._task is None or not sampled(user_id, self._share):
            return
        try:
            self._queue.put_nowait(make())
        except asyncio.QueueFull:
            RECOMMENDER_RECORDS_DROPPED.inc()

    async def _run(self) -> None:
        while True:
            try:
                await self._send_all()
            except (KafkaError, OSError, TimeoutError) as error:
                logger.warning("impressions cannot be sent, will retry: %r", error)
            await asyncio.sleep(_RETRY_S)

    async def _send_all(self) -> None:
        producer = AIOKafkaProducer(linger_ms=50, **client_options(self._settings))
        try:
            await producer.start()
            while True:
                await self._send(producer, await self._queue.get())
        finally:
            await stop_producer(producer, _STOP_S)

    async def _send(self, producer: AIOKafkaProducer, impression: Impression) -> None:
        try:
            sending = await producer.send(self._topic, msgspec.json.encode(impression), key=impression.user_id.encode())
            sending.add_done_callback(self._note_sent)
        except BaseException:
            self._note_dropped()
            raise

    def _note_sent(self, sending: "asyncio.Future[object]") -> None:
        if sending.cancelled() or sending.exception() is not None:
            self._note_dropped()
            return
        RECOMMENDER_RECORDS.inc()
        self._queue.task_done()

    def _note_dropped(self) -> None:
        RECOMMENDER_RECORDS_DROPPED.inc()
        self._queue.task_done()
