"""The applier's hands on Kafka: dead letters are sent, the log's ends and records are asked for."""

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.aggregator.validation import Refusal
from services.common.dead_letters import RecordOrigin, cut, dead_letter_headers

_FIRST_TIMEOUT_MS = 3000


class KafkaDeadLetters:
    """Sends refused records to the dead-letter topic and waits for every acknowledgement."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, topic: str, partition: int, refusals: Sequence[Refusal]) -> None:
        """See DeadLetterSink."""
        sent = []
        for refusal in refusals:
            origin = RecordOrigin(topic, partition, refusal.record.offset)
            value, rejected = cut(refusal.record.value or b"", refusal.rejected)
            headers = dead_letter_headers(origin, rejected, "aggregator")
            sent.append(await self._producer.send(self._topic, value, key=origin.source.encode(), headers=headers))
        for acknowledgement in sent:
            await acknowledgement


class KafkaLogRange:
    """What Kafka holds, asked by a client of its own: the consumer's thread may be busy fetching."""

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client

    async def offsets(self, partition: TopicPartition) -> tuple[int, int]:
        """See LogRange."""
        earliest = await self._client.beginning_offsets([partition])
        end = await self._client.end_offsets([partition])
        return earliest[partition], end[partition]

    async def first(self, partition: TopicPartition, offset: int) -> tuple[int, int] | None:
        """See LogRange."""
        self._client.assign([partition])
        self._client.seek(partition, offset)
        fetched = await self._client.getmany(partition, timeout_ms=_FIRST_TIMEOUT_MS, max_records=1)
        records = fetched.get(partition, [])
        return (records[0].offset, records[0].timestamp) if records else None
