"""Whether a log is the one that the tables were built from."""

import pytest
from aiokafka import TopicPartition

from services.aggregator.log_guard import LogGuard, require_same_log
from services.aggregator.partition_state import PartitionState, RebuildNeeded
from services.aggregator.store import ShardState
from tests.support.applier import FakeLog
from tests.support.records import NOW, FakeRecord

PARTITION = TopicPartition("purchases", 0)


def state_of(*marks: int, last_timestamp_ms: int | None = NOW) -> PartitionState:
    return PartitionState({n: ShardState(mark, mark, {}, last_timestamp_ms) for n, mark in enumerate(marks)})


async def test_a_log_that_holds_what_was_applied_is_the_same() -> None:
    state = state_of(5, 10)
    await LogGuard(FakeLog(earliest=7, end=10)).check(PARTITION, state)
    assert (state.log_start, state.next_offset, state.needs_backfill) == (7, 5, True)


async def test_a_log_that_ends_before_any_shard_s_mark_is_another() -> None:
    with pytest.raises(RebuildNeeded, match="at offset 11, but the topic ends at 10: it is another topic"):
        await LogGuard(FakeLog(end=10)).check(PARTITION, state_of(5, 11))


async def test_another_record_before_any_shard_s_mark_is_another_log() -> None:
    log = FakeLog()
    log.timestamps[9] = NOW + 1
    await LogGuard(log).check(PARTITION, state_of(5, 9))
    with pytest.raises(RebuildNeeded, match=f"{NOW} ms, where Kafka has one of {NOW + 1} ms: it is another topic"):
        await LogGuard(log).check(PARTITION, state_of(5, 10))


async def test_nothing_is_compared_where_the_record_is_gone_or_its_time_is_not_known() -> None:
    log = FakeLog(earliest=3)
    log.timestamps = dict.fromkeys(range(20), NOW + 1)
    await LogGuard(log).check(PARTITION, state_of(3))  # expired
    await LogGuard(log).check(PARTITION, state_of(10, last_timestamp_ms=None))
    log.holes.add(9)  # compacted
    await LogGuard(log).check(PARTITION, state_of(10))


async def test_a_gap_is_one_only_where_the_log_has_nothing_in_between() -> None:
    log = FakeLog()
    assert not await LogGuard(log).is_gap(PARTITION, 10, 12)
    log.holes = {10, 11}
    assert await LogGuard(log).is_gap(PARTITION, 10, 12)
    assert not await LogGuard(log).is_gap(PARTITION, 10, 13)


def test_archived_records_must_be_those_that_were_applied() -> None:
    records = [FakeRecord(offset) for offset in range(8, 12)]
    require_same_log(PARTITION, state_of(10, 12), records)
    require_same_log(PARTITION, state_of(5, 20, last_timestamp_ms=NOW + 1), records)  # neither mark is among them
    with pytest.raises(RebuildNeeded, match=f"{NOW + 1} ms, where the archive has one of {NOW} ms: it is another"):
        require_same_log(PARTITION, state_of(5, 10, last_timestamp_ms=NOW + 1), records)
