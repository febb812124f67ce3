"""How far one partition of a topic is applied: the mark (applied offset) of each shard, and where the log begins."""

from collections import defaultdict
from dataclasses import dataclass

from aiokafka import TopicPartition

from services.aggregator.store import ShardState


class RebuildNeeded(Exception):
    """The tables cannot be continued from this topic; the message says why and what to do."""


@dataclass(slots=True)
class PartitionState:
    """What is known of one partition: the state of each shard, by shard number.

    `started`: a batch was applied since the marks were read.
    `log_start`: Kafka's log start offset, as of the last check.
    `skipped_to`: records before it are accepted as missing.
    """

    shards: dict[int, ShardState]
    started: bool = False
    log_start: int = 0
    skipped_to: int = 0

    @property
    def next_offset(self) -> int:
        """The offset to read next: the lowest mark, or the end of what is accepted as missing."""
        return max(self.skipped_to, min(shard.mark for shard in self.shards.values()))

    @property
    def highest_mark(self) -> int:
        """The highest mark of any shard."""
        return max(shard.mark for shard in self.shards.values())

    @property
    def needs_backfill(self) -> bool:
        """Whether the next records have expired from Kafka."""
        return self.next_offset < self.log_start

    def shards_by_mark(self) -> list[tuple[int, list[int]]]:
        """Marks in order, each with its shards: one entry, except after a crash between two shards' scripts."""
        by_mark: defaultdict[int, list[int]] = defaultdict(list)
        for number, shard in self.shards.items():
            by_mark[shard.mark].append(number)
        return sorted(by_mark.items())


def partition_name(partition: TopicPartition) -> str:
    """The partition as the tables name it: `<topic>/<partition>`."""
    return f"{partition.topic}/{partition.partition}"
