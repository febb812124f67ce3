"""Applying fetched records to the live tables exactly once, through crashes of anything.

The marks in Redis are the truth; Kafka's committed offsets are a hint. A batch is applied from the lowest mark on, and
each shard is given only what lies past its own mark. When anything disagrees, what is known of the partition
is forgotten, read again from Redis, and reading goes back to there.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from services.aggregator.calendar import Calendar
from services.aggregator.fold import Setting, ShardDelta, fold
from services.aggregator.payload import Change, Move
from services.aggregator.store import Moved, ShardState, TableStore
from services.aggregator.verdicts import (
    Record,
    Refusal,
    claimed_ids,
    count_dead_letters,
    judge,
    replayed_ids,
    without_repeats,
)
from services.common.metrics import (
    AGGREGATOR_DEAD_LETTERS,
    AGGREGATOR_LINES,
    AGGREGATOR_MISMATCHES,
    AGGREGATOR_REPEATS,
)
from services.common.tables import MINUTES_KEPT_SECONDS
from services.common.telemetry import Health

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Turns of the event loop until a request is on its way; only then may the next chunk take the processor.
_TURNS_TO_SEND = 8
_RETRY_AFTER_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class RebuildNeeded(Exception):
    """The tables cannot be continued from this topic; the message says why and what to do."""


class DeadLetterSink(Protocol):
    """Where refused records go."""

    async def send(self, topic: str, partition: int, refusals: Sequence[Refusal]) -> None:
        """Return once every refusal is acknowledged; raises KafkaError."""


class LogRange(Protocol):
    """What Kafka holds of a partition."""

    async def offsets(self, partition: TopicPartition) -> tuple[int, int]:
        """The earliest offset and the one after the newest."""

    async def stamp(self, partition: TopicPartition, offset: int) -> int | None:
        """The broker's time of the record at an offset, epoch milliseconds; None where there is none."""


@dataclass(slots=True)
class _Progress:
    """What is known of one partition: where each shard stands, by shard number.

    `aligned`: a batch of this reading began at the mark or before it, or reading was sent back to the mark because of a
    gap. Only then can a gap lie in the log itself: any other batch may have been fetched before the mark was read.
    """

    shards: dict[int, ShardState]
    aligned: bool = False

    @property
    def next(self) -> int:
        """The lowest mark: where reading has to go on."""
        return min(state.mark for state in self.shards.values())

    def groups(self) -> list[tuple[int, list[int]]]:
        """Shards by mark: one group, but after a crash between two shards' scripts."""
        by_mark: defaultdict[int, list[int]] = defaultdict(list)
        for shard, state in self.shards.items():
            by_mark[state.mark].append(shard)
        return sorted(by_mark.items())


@dataclass(frozen=True, slots=True)
class _Step:
    """One script call."""

    shard: int
    move: Move
    delta: ShardDelta
    change: Change


class _Applying:
    """Runs one chunk's script calls beside the caller, so that Redis works while the next chunk is folded."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def start(self, calls: Coroutine[Any, Any, None]) -> None:
        """Begin these calls once the ones before have succeeded."""
        try:
            await self.settle()
        except BaseException:
            calls.close()
            raise
        self._task = asyncio.create_task(calls)
        for _ in range(_TURNS_TO_SEND):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Wait for the calls that were begun; raises what they raise."""
        task, self._task = self._task, None
        if task is not None:
            await task

    async def abandon(self) -> None:
        """Let calls that are under way come to their end, whatever it is: they are fenced by the marks."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


class Applier:
    """Applies records partition by partition. One call at a time; `realign` may come in between."""

    def __init__(
        self,
        store: TableStore,
        dead_letters: DeadLetterSink,
        log_range: LogRange,
        calendar: Calendar,
        health: Health,
        *,
        dead_letters_topic: str,
        chunk: int,
        accept_missing_history: bool,
    ) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._log_range = log_range
        self._calendar = calendar
        self._health = health
        self._dead_letters_topic = dead_letters_topic
        self._chunk = chunk
        self._accept_missing_history = accept_missing_history
        self._progress: dict[TopicPartition, _Progress] = {}
        self._floors = [0] * store.shards
        self._asked_floor = 0
        self._lock = asyncio.Lock()

    def forget(self, partition: TopicPartition | None = None) -> None:
        """Drop what is known of one partition, or of all of them, as after a rebalance."""
        if partition is None:
            self._progress.clear()
        else:
            self._progress.pop(partition, None)

    async def apply(self, partition: TopicPartition, records: Sequence[Record]) -> int | None:
        """Apply the records of one fetch. Returns where reading has to go back to, None where it may go on.

        Waits while Redis or the dead-letter topic is away. Raises RebuildNeeded.
        """
        async with self._lock:
            return await self._persist(lambda: self._apply(partition, records))

    async def realign(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where reading has to go on in each partition whose mark is not the one that is remembered.

        This finds a Redis that was restored from a snapshot while no record came in.
        """
        async with self._lock:
            return await self._persist(lambda: self._realign(partitions))

    async def _realign(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        moved = {}
        for partition in partitions:
            known = self._progress.get(partition)
            marks = await self._store.marks(_name(partition))
            if known is None or any(state.mark != marks[shard] for shard, state in known.shards.items()):
                moved[partition] = (await self._load(partition)).next
        return moved

    async def _apply(self, partition: TopicPartition, records: Sequence[Record]) -> int | None:
        progress = self._progress.get(partition) or await self._load(partition)
        if records[0].offset > progress.next:
            if not progress.aligned:
                progress.aligned = True
                return progress.next
            # Compaction and transaction markers leave gaps; records that Kafka dropped must not.
            await self._check_range(partition, progress)
        elif progress.aligned and records[0].offset < progress.next:
            await self._check_range(partition, progress)  # the log went back under a running reader
        progress.aligned = True
        wanted = [record for record in records if record.offset >= progress.next]
        applying = _Applying()
        try:
            for chunk in _chunks(wanted, self._chunk):
                await applying.start(self._run(await self._prepare(partition, progress, chunk)))
            await applying.settle()
        except Moved as moved:
            logger.warning("the tables were moved by another hand, reading again from their marks: %s", moved)
            AGGREGATOR_MISMATCHES.inc()
            return (await self._load(partition)).next
        finally:
            await applying.abandon()
        return None

    async def _prepare(self, partition: TopicPartition, progress: _Progress, records: Sequence[Record]) -> list[_Step]:
        """What brings each shard past these records. Progress is moved already: a step that fails drops it."""
        if partition.topic == self._dead_letters_topic:
            steps = [self._count_dead_letters(partition, progress, records)]
        else:
            steps = await self._add_purchases(partition, progress, records)
        for step in steps:
            state = progress.shards[step.shard]
            state.mark = step.move.next
            state.stamp = step.change.arrived_at
            state.rows.update(step.change.rows)
        return steps

    async def _run(self, steps: Sequence[_Step]) -> None:
        for step in steps:
            self._floors[step.shard] = await self._store.apply(step.shard, step.move, step.delta, step.change)
            AGGREGATOR_LINES.inc(step.delta.events)

    async def _add_purchases(
        self, partition: TopicPartition, progress: _Progress, records: Sequence[Record]
    ) -> list[_Step]:
        lines, refusals = judge(records)
        if refusals:
            await self._refuse(partition, refusals)
        wanted = claimed_ids(lines, _name(partition))
        owners = await self._store.claim(wanted, replayed_ids(lines)) if wanted else {}
        next_offset = records[-1].offset + 1
        steps: list[_Step] = []
        for mark, shards in progress.groups():
            if mark >= next_offset:
                continue
            pending = [line for line in lines if line.offset >= mark]
            rows = progress.shards[shards[0]].rows
            fresh, moved_rows = without_repeats(pending, rows, owners, _name(partition))
            AGGREGATOR_REPEATS.inc(len(pending) - len(fresh))
            deltas = fold(fresh, self._setting(partition))
            newest = max((line.purchase.event_time for line in fresh), default=0)
            change = self._change(records, moved_rows, newest)
            move = Move(_name(partition), mark, next_offset)
            steps += [_Step(shard, move, deltas[shard], change) for shard in shards]
        return steps

    async def _refuse(self, partition: TopicPartition, refusals: Sequence[Refusal]) -> None:
        """Flush the dead letters before any mark moves past their records."""
        await self._dead_letters.send(partition.topic, partition.partition, refusals)
        for refusal in refusals:
            AGGREGATOR_DEAD_LETTERS.labels(refusal.rejected.reason.value).inc()

    def _count_dead_letters(self, partition: TopicPartition, progress: _Progress, records: Sequence[Record]) -> _Step:
        home = self._home(partition)
        state = progress.shards[home]
        reasons, moved_rows = count_dead_letters(records, state.rows)
        move = Move(_name(partition), state.mark, records[-1].offset + 1)
        return _Step(home, move, ShardDelta(dead_letters=reasons), self._change(records, moved_rows, 0))

    def _change(self, records: Sequence[Record], moved_rows: dict[str, int], newest_event: int) -> Change:
        floor = max(0, newest_event // 60_000 * 60 - MINUTES_KEPT_SECONDS)
        return Change(moved_rows, floor, self._expired_tables(floor), records[-1].timestamp)

    def _expired_tables(self, floor: int) -> list[str]:
        """Minute tables that fall below this floor, but for those that a batch under way takes with it."""
        known = max(min(self._floors), self._asked_floor)
        self._asked_floor = max(known, floor)
        return self._calendar.minute_tables(known, floor) if 0 < known < floor else []

    async def _load(self, partition: TopicPartition) -> _Progress:
        name = _name(partition)
        states = await self._store.load(name)
        home = self._home(partition)
        only_home = partition.topic == self._dead_letters_topic
        progress = _Progress({shard: state for shard, state in enumerate(states) if shard == home or not only_home})
        await self._check_range(partition, progress)
        self._floors, self._asked_floor = await self._store.minute_floors(), 0
        self._progress[partition] = progress
        return progress

    async def _check_range(self, partition: TopicPartition, progress: _Progress) -> None:
        earliest, end = await self._log_range.offsets(partition)
        lowest = progress.next
        if lowest == 0 and self._accept_missing_history:
            return
        if lowest < earliest:
            raise RebuildNeeded(
                f"{_name(partition)}: the tables stand at offset {lowest}, but Kafka keeps only {earliest} and later; "
                "rebuild the tables from the archive, or set TILLSTREAM_AGGREGATOR_ACCEPT_MISSING_HISTORY=true on a "
                "first start to begin with what Kafka still has"
            )
        highest = max(state.mark for state in progress.shards.values())
        if highest > end:
            raise RebuildNeeded(_another_topic(partition, f"at offset {highest}, but the topic ends at {end}"))
        for state in progress.shards.values():
            if state.stamp is not None and state.mark > earliest:
                found = await self._log_range.stamp(partition, state.mark - 1)
                if found is not None and found != state.stamp:
                    raise RebuildNeeded(
                        _another_topic(
                            partition, f"after a record of {state.stamp} ms, where Kafka has one of {found} ms"
                        )
                    )

    def _setting(self, partition: TopicPartition) -> Setting:
        return Setting(_name(partition), self._home(partition), self._store.shards, self._calendar, min(self._floors))

    def _home(self, partition: TopicPartition) -> int:
        return int(partition.partition) % self._store.shards

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until the world is well again: an engine that is away is waited for, never skipped."""
        failures = 0
        while True:
            try:
                result = await attempt()
            except (RedisError, KafkaError, OSError) as error:
                self.forget()
                wait = _RETRY_AFTER_S[min(failures, len(_RETRY_AFTER_S) - 1)]
                failures += 1
                self._health.set("tables", False, f"{type(error).__name__}: {error}")
                self._health.beat()  # waiting is progress: a restart would not bring the engine back
                logger.warning("waiting %.1f s for Redis or Kafka: %s", wait, error)
                await asyncio.sleep(wait)
            else:
                self._health.set("tables", True)
                self._health.beat()
                return result


def _chunks(records: Sequence[Record], size: int) -> Iterator[Sequence[Record]]:
    for start in range(0, len(records), size):
        yield records[start : start + size]


def _another_topic(partition: TopicPartition, where: str) -> str:
    return (
        f"{_name(partition)}: the tables stand {where}: it is another topic than the one they were built from; "
        "rebuild the tables or point to the right cluster"
    )


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"
