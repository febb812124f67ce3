"""What happens to invalid records: the alarm counts them, then the dead-letter topic gets them."""

from collections.abc import Sequence
from typing import Protocol

from aiokafka import TopicPartition

from services.aggregator.partition_state import partition_name
from services.aggregator.validation import Record, RejectedRecord
from services.common.dlq_limits import InvalidRateAlarm
from services.common.metrics import AGGREGATOR_DEAD_LETTERS


class DeadLetterSink(Protocol):
    """Where rejected records go."""

    async def send(self, topic: str, partition: int, rejected: Sequence[RejectedRecord]) -> None:
        """Return once every record is acknowledged; raises KafkaError."""


class DeadLetterOutput:
    """Watches the rate of rejected records and sends them to the dead-letter topic."""

    def __init__(self, sink: DeadLetterSink, alarm: InvalidRateAlarm) -> None:
        self._sink = sink
        self._alarm = alarm

    def forget(self) -> None:
        """Drop the rates of all partitions, as after a rebalance."""
        self._alarm.forget()

    def observe(self, partition: TopicPartition, records: Sequence[Record], rejected: Sequence[RejectedRecord]) -> None:
        """Count them before anything of these records is applied. Raises TooManyInvalidRecords."""
        offsets = [each.record.offset for each in rejected]
        reason = rejected[-1].rejection.reason.value if rejected else ""
        self._alarm.observe(partition_name(partition), records[0].offset, records[-1].offset + 1, offsets, reason)

    async def send(self, partition: TopicPartition, rejected: Sequence[RejectedRecord]) -> None:
        """Flush the dead letters, before any mark moves past their records. Raises KafkaError."""
        await self._sink.send(partition.topic, partition.partition, rejected)
        for each in rejected:
            AGGREGATOR_DEAD_LETTERS.labels(each.rejection.reason.value).inc()
