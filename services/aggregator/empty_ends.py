"""Finds the ends of a log that hold no record: markers of transactions and aborted records, which no fetch delivers."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.aggregator.log_guard import LogRange
from services.aggregator.partition_state import PartitionState

_TIMEOUT_S = 2.0  # batches wait meanwhile


class EmptyEnds:
    """Asks for partitions that have not moved since the last call: the others have records."""

    def __init__(self, log_range: LogRange) -> None:
        self._log_range = log_range
        self._seen: dict[TopicPartition, int] = {}

    async def of(
        self, partitions: Sequence[TopicPartition], states: Mapping[TopicPartition, PartitionState]
    ) -> dict[TopicPartition, int]:
        """The offset up to which there is no record, where that is past the next offset.

        Nothing where Kafka does not answer soon; it is asked again at the next call. `states` may lose partitions
        meanwhile: they may be assigned anew at any time.
        """
        known = {each: states[each] for each in partitions if each in states}
        before, self._seen = self._seen, {each: state.next_offset for each, state in known.items()}
        stalled = [partition for partition, at in self._seen.items() if before.get(partition) == at]
        found: dict[TopicPartition, int] = {}
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_TIMEOUT_S):
                ends = await self._log_range.ends(stalled) if stalled else {}
                for partition, end in ends.items():
                    if self._seen[partition] < end and not known[partition].needs_backfill:
                        found[partition] = await self._log_range.empty_to(partition, self._seen[partition])
        return {partition: end for partition, end in found.items() if end > self._seen[partition]}
