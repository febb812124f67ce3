"""Ends of a log that hold no record."""

from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition

from services.aggregator.empty_ends import EmptyEnds
from services.aggregator.partition_state import PartitionState
from services.aggregator.store import ShardState

PARTITION = TopicPartition("purchases", 0)


class Log:
    """A log of 5 records and 2 markers. `states` are dropped while it is asked, as where partitions are assigned."""

    def __init__(self, states: dict[TopicPartition, PartitionState], *, is_reassigned: bool) -> None:
        self._states = states
        self._is_reassigned = is_reassigned

    async def offsets(self, partition: TopicPartition) -> tuple[int, int]:
        return 0, 7

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        if self._is_reassigned:
            self._states.clear()
        return dict.fromkeys(partitions, 7)

    async def first(self, partition: TopicPartition, offset: int) -> tuple[int, int] | None:
        return None

    async def empty_to(self, partition: TopicPartition, offset: int) -> int:
        return 7


def applied() -> dict[TopicPartition, PartitionState]:
    return {PARTITION: PartitionState({0: ShardState(mark=5, orders_mark=5)})}


async def test_a_partition_that_has_not_moved_is_asked_for_its_end() -> None:
    states = applied()
    ends = EmptyEnds(Log(states, is_reassigned=False))
    assert await ends.of([PARTITION], states) == {}
    assert await ends.of([PARTITION], states) == {PARTITION: 7}


async def test_partitions_may_be_assigned_anew_meanwhile() -> None:
    states = applied()
    ends = EmptyEnds(Log(states, is_reassigned=True))
    await ends.of([PARTITION], states)
    await ends.of([PARTITION], states)
    assert states == {}
    assert await ends.of([PARTITION], states) == {}
