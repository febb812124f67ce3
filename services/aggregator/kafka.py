"""Kafka adapter of the applier: sends dead letters, reads the log's range and single records."""

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.aggregator.validation import RejectedRecord
from services.common.dead_letters import RecordOrigin, cut, dead_letter_headers

_FIRST_TIMEOUT_MS = 3000


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
        end = await self._client.end_offsets([partition])
        return start[partition], end[partition]

    async def first(self, partition: TopicPartition, offset: int) -> tuple[int, int] | None:
        """See LogRange."""
        self._client.assign([partition])
        self._client.seek(partition, offset)
        fetched = await self._client.getmany(partition, timeout_ms=_FIRST_TIMEOUT_MS, max_records=1)
        records = fetched.get(partition, [])
        return (records[0].offset, records[0].timestamp) if records else None
