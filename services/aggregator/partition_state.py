"""How far a partition of the topic is applied, and when the tables cannot go on from there."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from services.aggregator.store import ShardState
from services.aggregator.validation import Record


class RebuildNeeded(Exception):
    """The tables cannot be continued from this topic; the message says why and what to do."""


@dataclass(slots=True)
class Progress:
    """What is known of one partition: where each shard stands, by shard number.

    `begun`: a batch was applied since the marks were read.
    `log_begin`: the first offset that Kafka held when it was last asked.
    """

    shards: dict[int, ShardState]
    begun: bool = False
    log_begin: int = 0
    skipped_to: int = 0

    @property
    def next(self) -> int:
        """Where reading has to go on: at the lowest mark, or after what is accepted as missing."""
        return max(self.skipped_to, min(state.mark for state in self.shards.values()))

    @property
    def behind(self) -> bool:
        """Whether records that come next are no longer in Kafka."""
        return self.next < self.log_begin

    def groups(self) -> list[tuple[int, list[int]]]:
        """Shards by mark: one group, but after a crash between two shards' scripts."""
        by_mark: defaultdict[int, list[int]] = defaultdict(list)
        for shard, state in self.shards.items():
            by_mark[state.mark].append(shard)
        return sorted(by_mark.items())


def require_same_log(partition: TopicPartition, progress: Progress, records: Sequence[Record]) -> None:
    """The archive's record before a mark must be the one that was applied there. Raises RebuildNeeded."""
    for state in progress.shards.values():
        if state.stamp is None or not records[0].offset < state.mark <= records[-1].offset + 1:
            continue
        for record in records:
            if record.offset == state.mark - 1 and record.timestamp != state.stamp:
                raise RebuildNeeded(
                    another_topic(
                        partition, f"after a record of {state.stamp} ms, where the archive has {record.timestamp} ms"
                    )
                )


def lost(partition: TopicPartition, first: int, last: int) -> str:
    """What an operator reads where records are nowhere any more."""
    return (
        f"{name_of(partition)}: records {first} to {last} come next, but neither Kafka nor the archive in S3 holds "
        "them; restore their objects below raw/purchases/, or set "
        "TILLSTREAM_AGGREGATOR_ACCEPT_MISSING_HISTORY=true to go on without them (the tables remember under `missing` "
        "which ones the figures lack)"
    )


def another_topic(partition: TopicPartition, where: str) -> str:
    """What an operator reads where the tables were built from another topic."""
    return (
        f"{name_of(partition)}: the tables stand {where}: it is another topic than the one they were built from; "
        "rebuild the tables or point to the right cluster"
    )


def name_of(partition: TopicPartition) -> str:
    """The partition as the tables name it."""
    return f"{partition.topic}/{partition.partition}"
