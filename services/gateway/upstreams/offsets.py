"""Begin and last stable offsets of the purchases topic, polled in the background so that no request waits for Kafka."""

import asyncio
import logging
import time
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from services.common.kafka import make_consumer, partitions_of
from services.common.settings import KafkaSettings
from services.gateway.upstreams.outages import OutageLog

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 5.0
# Partition → (beginning, end).
Offsets = dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The offsets of all partitions, and the append rate (records per second) since the previous poll."""

    offsets: Offsets
    asked_at: float
    rate: float | None

    @property
    def records(self) -> int:
        """The sum of the ends."""
        return sum(end for _beginning, end in self.offsets.values())


class OffsetPoller:
    """Polls the offsets. `latest` is None while Kafka is unavailable, and `detail` says why in short."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._outages = OutageLog()
        self.latest: LogEnd | None = None
        self.detail = "not asked yet"

    async def refresh(self) -> None:
        """Ask once, connecting first where needed."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                offsets = await self._ask()
        except (KafkaError, OSError, TimeoutError) as error:
            self.latest = None
            self.detail = self._outages.started("kafka", error)
            await self.close()
        else:
            self._outages.recovered("kafka")
            self.latest = _log_end(offsets, self.latest)
            self.detail = f"{len(offsets)} partitions of {self._settings.purchases_topic}"

    async def _ask(self) -> Offsets:
        consumer = await self._connected()
        partitions = await partitions_of(consumer, self._settings.purchases_topic)
        beginnings = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        return {p.partition: (beginnings[p], ends[p]) for p in partitions}

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            # Without group and assignment it fetches no records; it serves the offset requests alone.
            consumer = make_consumer(self._settings, group_id=None)
            self._consumer = consumer
            await consumer.start()
        return self._consumer

    async def close(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()


def _log_end(offsets: Offsets, previous: LogEnd | None) -> LogEnd:
    now = LogEnd(offsets, time.monotonic(), None)
    if previous is None:
        return now
    rate = (now.records - previous.records) / max(now.asked_at - previous.asked_at, 0.001)
    return LogEnd(offsets, now.asked_at, max(rate, 0.0))
