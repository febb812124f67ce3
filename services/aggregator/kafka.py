"""Kafka adapter of the applier: sends dead letters, reads the log's range and single records."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.aggregator.validation import RejectedRecord
from services.common.dead_letters import RecordOrigin, cut, dead_letter_headers

_FIRST_TIMEOUT_S = 3.0
_FETCH_WAIT_MS = 100


class KafkaDeadLetters:
    """Sends rejected records to the dead-letter topic and waits for every acknowledgement."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, topic: str, partition: int, rejected: Sequence[RejectedRecord]) -> None:
        """See DeadLetterSink."""
        sent = []
        for each in rejected:
            origin = RecordOrigin(topic, partition, each.record.offset)
            value, rejection = cut(each.record.value or b"", each.rejection)
            headers = dead_letter_headers(origin, rejection, "aggregator")
            sent.append(await self._producer.send(self._topic, value, key=origin.source.encode(), headers=headers))
        for acknowledgement in sent:
            await acknowledgement


class KafkaLogRange:
    """Reads what Kafka holds with a client of its own: the consumer's thread may be busy fetching."""

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client

    async def offsets(self, partition: TopicPartition) -> tuple[int, int]:
        """See LogRange."""
        start = await self._client.beginning_offsets([partition])
        return start[partition], (await self.ends([partition]))[partition]

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """See LogRange."""
        ends: Mapping[TopicPartition, int] = await self._client.end_offsets([*partitions])
        return ends

    async def first(self, partition: TopicPartition, offset: int) -> tuple[int, int] | None:
        """See LogRange."""
        record = await self._read_from(partition, offset)
        return (record.offset, record.timestamp) if record else None

    async def empty_to(self, partition: TopicPartition, offset: int) -> int:
        """See LogRange."""
        record = await self._read_from(partition, offset)
        return int(record.offset if record else await self._client.position(partition))

    async def _read_from(self, partition: TopicPartition, offset: int) -> Any:
        """The first record at or after an offset; None where there is none up to the end, or none arrives in time.

        The position then lies past the markers of transactions and the aborted records that were read.
        """
        self._client.assign([partition])
        self._client.seek(partition, offset)
        end = (await self.ends([partition]))[partition]
        until = time.monotonic() + _FIRST_TIMEOUT_S
        while await self._client.position(partition) < end and time.monotonic() < until:
            fetched = await self._client.getmany(partition, timeout_ms=_FETCH_WAIT_MS, max_records=1)
            if records := fetched.get(partition):
                return records[0]
        return None
