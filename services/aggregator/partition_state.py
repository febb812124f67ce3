"""How far one partition of a topic is applied: the mark (applied offset) of each shard, and where the log begins."""

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
        return max(self.skipped_to, min(min(shard.mark, shard.orders_mark) for shard in self.shards.values()))

    @property
    def highest_mark(self) -> int:
        """The highest mark of any shard."""
        return max(max(shard.mark, shard.orders_mark) for shard in self.shards.values())

    def settled(self, offset: int, shard: int) -> bool | None:
        """Whether a line of this shard's orders counted; None where the shard has not decided it yet."""
        state = self.shards[shard]
        if offset >= state.orders_mark:
            return None
        if offset < state.uncounted.since:
            raise RebuildNeeded(
                f"shard {shard} no longer lists which lines before offset {state.uncounted.since:,} counted, and "
                f"another shard is back at {offset:,}: run `make rebuild` (python -m services.aggregator.rebuild)"
            )
        return offset not in state.uncounted

    @property
    def needs_backfill(self) -> bool:
        """Whether the next records have expired from Kafka."""
        return self.next_offset < self.log_start


def partition_name(partition: TopicPartition) -> str:
    """The partition as the tables name it: `<topic>/<partition>`."""
    return f"{partition.topic}/{partition.partition}"
