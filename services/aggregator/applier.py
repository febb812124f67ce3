"""Applying fetched records to the live tables exactly once, through crashes of anything.

The marks in Redis are the truth; Kafka's committed offsets are a hint. A batch is applied from the lowest mark on, and
each shard is given only what lies past its own mark. When anything disagrees, what is known of the partition
is forgotten, read again from Redis, and reading goes back to there. What Kafka no longer holds comes from the archive.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from services.aggregator.archive_reader import History, Span
from services.aggregator.calendar import Calendar
from services.aggregator.fold import Setting, ShardDelta, fold
from services.aggregator.in_flight import Underway
from services.aggregator.partition_state import Progress, RebuildNeeded, another_topic, lost, name_of, require_same_log
from services.aggregator.payload import Change, Move
from services.aggregator.store import Moved, TableStore
from services.aggregator.validation import (
    Record,
    Refusal,
    claimed_ids,
    count_dead_letters,
    judge,
    replayed_ids,
    without_repeats,
)
from services.common.dlq_limits import RefusalAlarm
from services.common.generations import Generation
from services.common.metrics import (
    AGGREGATOR_DEAD_LETTERS,
    AGGREGATOR_LINES,
    AGGREGATOR_MISMATCHES,
    AGGREGATOR_MISSING,
    AGGREGATOR_REFETCHED,
    AGGREGATOR_REPEATS,
)
from services.common.tables import MINUTES_KEPT_SECONDS
from services.common.telemetry import Health

logger = logging.getLogger(__name__)
T = TypeVar("T")

_RETRY_AFTER_S = (0.1, 0.2, 0.5, 1.0, 2.0)
# `realign` reads history; records of a partition that waits for it are only fetched again.
_BEHIND_PAUSE_S = 1.0


class DeadLetterSink(Protocol):
    """Where refused records go."""

    async def send(self, topic: str, partition: int, refusals: Sequence[Refusal]) -> None:
        """Return once every refusal is acknowledged; raises KafkaError."""


class LogRange(Protocol):
    """What Kafka holds of a partition."""

    async def offsets(self, partition: TopicPartition) -> tuple[int, int]:
        """The earliest offset and the one after the newest."""

    async def first(self, partition: TopicPartition, offset: int) -> tuple[int, int] | None:
        """Offset and broker's time (epoch ms) of the first record at an offset or after it; None where none is told."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One script call."""

    shard: int
    move: Move
    delta: ShardDelta
    change: Change


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
        history: History,
        refusals: RefusalAlarm,
        dead_letters_topic: str,
        chunk: int,
        accept_missing_history: bool,
        history_patience_s: float = 120.0,
        live: Callable[[], Awaitable[Generation]] | None = None,
    ) -> None:
        """`history_patience_s`: records that are neither in Kafka nor in the archive may be on their way there.

        `live` tells the generation to write, which may change at any time; with None it is the store's and calendar's.
        """
        self._store = store
        self._dead_letters = dead_letters
        self._log_range = log_range
        self._history = history
        self._refusals = refusals
        self._calendar = calendar
        self._health = health
        self._dead_letters_topic = dead_letters_topic
        self._chunk = chunk
        self._accept_missing_history = accept_missing_history
        self._history_patience_s = history_patience_s
        self._live = live
        self._generation: Generation | None = None
        self._missing_since: dict[TopicPartition, float] = {}
        self._progress: dict[TopicPartition, Progress] = {}
        self._floors = [0] * store.shards
        self._asked_floor = 0
        self._lock = asyncio.Lock()

    def forget(self, partition: TopicPartition | None = None) -> None:
        """Drop what is known of one partition, or of all of them, as after a rebalance."""
        if partition is None:
            self._progress.clear()
        else:
            self._progress.pop(partition, None)

    def reassigned(self) -> None:
        """Other partitions may be ours now: drop what is known of all."""
        self.forget()
        self._refusals.forget()

    async def apply(self, partition: TopicPartition, records: Sequence[Record]) -> int | None:
        """Apply the records of one fetch. Returns where reading has to go back to, None where it may go on.

        Waits while Redis or the dead-letter topic is away. Raises RebuildNeeded.
        """
        async with self._lock:
            back_to = await self._persist(lambda: self._apply(partition, records))
        if back_to is not None and self.is_behind(partition):
            await asyncio.sleep(_BEHIND_PAUSE_S)
        return back_to

    async def realign(
        self, partitions: Sequence[TopicPartition], moved: Callable[[], bool] = lambda: False
    ) -> dict[TopicPartition, int]:
        """Where reading has to go on in each partition whose mark is not the one that is remembered.

        This finds a Redis that was restored from a snapshot, or emptied, while no record came in. What Kafka no longer
        holds is read from the archive and applied before it returns. Where reading was `moved` by another hand, nothing
        is remembered: that is asked once nothing is applied any more, since a batch from before may wait for Redis for
        long, and bring marks back to mind without reading being sent to them. Raises RebuildNeeded.
        """
        async with self._lock:
            if moved():
                self.forget()
            return await self._persist(lambda: self._realign(partitions))

    async def close(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Let what is under way come to its end, apply nothing after it; the marks of partitions that are known.

        Waits as long as Redis or the dead-letter topic is away.
        """
        await self._lock.acquire()  # and never given back
        known = {partition: self._progress.get(partition) for partition in partitions}
        return {partition: progress.next for partition, progress in known.items() if progress and not progress.behind}

    def is_behind(self, partition: TopicPartition) -> bool:
        """Whether records that come next are no longer in Kafka, and not applied from the archive yet."""
        progress = self._progress.get(partition)
        return progress is not None and progress.behind

    async def _realign(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._follow()
        moved = {}
        for partition in partitions:
            known = self._progress.get(partition)
            marks = await self._store.marks(name_of(partition))
            if known is None or any(state.mark != marks[shard] for shard, state in known.shards.items()):
                moved[partition] = (await self._load(partition)).next
        behind = [partition for partition in partitions if self.is_behind(partition)]
        if behind:
            await self._read_history(behind)
            moved |= {partition: known.next for partition in behind if (known := self._progress.get(partition))}
        return moved

    async def _read_history(self, partitions: Sequence[TopicPartition]) -> None:
        """Apply what Kafka no longer holds, as far as the archive has it. Raises RebuildNeeded where it lacks some."""
        known = {partition: self._progress[partition] for partition in partitions}
        logger.warning("reading %s from the archive: Kafka no longer holds all of it", ", ".join(map(name_of, known)))
        try:
            await self._apply_history(known)
        except Moved as moved:
            self._count_mismatch(moved)
            self.forget()
        for partition, progress in known.items():
            if progress.behind and self._progress.get(partition) is progress:
                await self._miss(partition, progress)
        self._health.report("history", None)

    async def _apply_history(self, known: Mapping[TopicPartition, Progress]) -> None:
        spans = {partition: Span(progress.next, progress.log_begin) for partition, progress in known.items()}
        applying = Underway()
        try:
            async with aclosing(self._history.read(spans)) as history:
                async for partition, records in history:
                    progress = known[partition]
                    if self._progress.get(partition) is not progress:
                        return  # forgotten, as by a rebalance: the next realignment goes on with what is ours by then
                    require_same_log(partition, progress, records)
                    if records[0].offset > progress.next:
                        await self._miss_between(partition, progress, records[0].offset)
                    self._missing_since.pop(partition, None)
                    await self._advance(applying, partition, progress, records)
                    self._tell_history(partition, progress)
            await applying.settle()
        finally:
            await applying.abandon()

    def _tell_history(self, partition: TopicPartition, progress: Progress) -> None:
        self._health.beat()
        self._health.report("history", f"{name_of(partition)} at {progress.next} of {progress.log_begin}")

    async def _miss_between(self, partition: TopicPartition, progress: Progress, found: int) -> None:
        """The archive has later records but not the next ones: its chain begins late or has a hole."""
        if not self._accept_missing_history:
            raise RebuildNeeded(lost(partition, progress.next, found - 1))
        await self._skip(partition, progress, found)

    async def _miss(self, partition: TopicPartition, progress: Progress) -> None:
        """The archive ends before Kafka begins: the archiver may still hold the records that lie between."""
        since = self._missing_since.setdefault(partition, time.monotonic())
        if time.monotonic() - since < self._history_patience_s:
            last = progress.log_begin - 1
            logger.warning("%s: waiting for records %d to %d in the archive", name_of(partition), progress.next, last)
        elif self._accept_missing_history:
            await self._skip(partition, progress, progress.log_begin)
        else:
            raise RebuildNeeded(lost(partition, progress.next, progress.log_begin - 1))

    async def _skip(self, partition: TopicPartition, progress: Progress, to: int) -> None:
        """Go on without records that nobody has any more, and keep in mind which."""
        logger.error("%s: going on without records %d to %d", name_of(partition), progress.next, to - 1)
        AGGREGATOR_MISSING.inc(to - progress.next)
        await self._store.note_missing(self._home(partition), name_of(partition), progress.next, to - 1)
        progress.skipped_to = to

    async def _apply(self, partition: TopicPartition, records: Sequence[Record]) -> int | None:
        progress = self._progress.get(partition) or await self._load(partition)
        if not progress.behind and records[0].offset > progress.next:
            await self._check_range(partition, progress)  # records that Kafka dropped are no gap in the log
            if not progress.behind and not await self._is_gap(partition, progress.next, records[0].offset):
                return progress.next
        elif progress.begun and records[0].offset < progress.next:
            await self._check_range(partition, progress)  # the log went back under a running reader
        if progress.behind:
            return progress.log_begin  # what lies before comes from the archive first, see `realign`
        progress.begun = True
        if records[0].offset < progress.next:
            AGGREGATOR_REFETCHED.inc(sum(record.offset < progress.next for record in records))
        applying = Underway()
        try:
            await self._advance(applying, partition, progress, records)
            await applying.settle()
        except Moved as moved:
            self._count_mismatch(moved)
            return (await self._load(partition)).next
        finally:
            await applying.abandon()
        return None

    async def _is_gap(self, partition: TopicPartition, wanted: int, found: int) -> bool:
        """Whether the log itself has nothing from `wanted` to `found`: compaction and transactions leave such gaps.

        Only the log can tell: between two batches of one partition reading may have been sent elsewhere.
        """
        first = await self._log_range.first(partition, wanted)
        return first is not None and first[0] >= found

    async def _advance(
        self, applying: Underway, partition: TopicPartition, progress: Progress, records: Sequence[Record]
    ) -> None:
        """Apply what lies past the marks, chunk by chunk; the last calls may still be under way."""
        wanted = [record for record in records if record.offset >= progress.next]
        for chunk in _chunks(wanted, self._chunk):
            await applying.start(self._run(await self._prepare(partition, progress, chunk)))

    def _count_mismatch(self, moved: Moved) -> None:
        logger.warning("the tables were moved by another hand, reading again from their marks: %s", moved)
        AGGREGATOR_MISMATCHES.inc()

    async def _prepare(self, partition: TopicPartition, progress: Progress, records: Sequence[Record]) -> list[_Step]:
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
        self, partition: TopicPartition, progress: Progress, records: Sequence[Record]
    ) -> list[_Step]:
        lines, refusals = judge(records)
        if not progress.behind:  # what is read from the archive was told when it came
            self._watch(partition, records, refusals)
        if refusals:
            await self._refuse(partition, refusals)
        wanted = claimed_ids(lines, name_of(partition))
        owners = await self._store.claim(wanted, replayed_ids(lines)) if wanted else {}
        next_offset = records[-1].offset + 1
        steps: list[_Step] = []
        for mark, shards in progress.groups():
            if mark >= next_offset:
                continue
            pending = [line for line in lines if line.offset >= mark]
            rows = progress.shards[shards[0]].rows
            fresh, moved_rows = without_repeats(pending, rows, owners, name_of(partition))
            AGGREGATOR_REPEATS.inc(len(pending) - len(fresh))
            deltas = fold(fresh, self._setting(partition))
            newest = max((line.purchase.event_time for line in fresh), default=0)
            change = self._change(records, moved_rows, newest)
            move = Move(name_of(partition), mark, next_offset)
            steps += [_Step(shard, move, deltas[shard], change) for shard in shards]
        return steps

    def _watch(self, partition: TopicPartition, records: Sequence[Record], refusals: Sequence[Refusal]) -> None:
        """Tell of too many refusals before anything of these records is done. Raises TooManyRefused."""
        refused = [refusal.record.offset for refusal in refusals]
        reason = refusals[-1].rejected.reason.value if refusals else ""
        self._refusals.observe(name_of(partition), records[0].offset, records[-1].offset + 1, refused, reason)

    async def _refuse(self, partition: TopicPartition, refusals: Sequence[Refusal]) -> None:
        """Flush the dead letters before any mark moves past their records."""
        await self._dead_letters.send(partition.topic, partition.partition, refusals)
        for refusal in refusals:
            AGGREGATOR_DEAD_LETTERS.labels(refusal.rejected.reason.value).inc()

    def _count_dead_letters(self, partition: TopicPartition, progress: Progress, records: Sequence[Record]) -> _Step:
        home = self._home(partition)
        state = progress.shards[home]
        reasons, moved_rows = count_dead_letters(records, state.rows)
        move = Move(name_of(partition), state.mark, records[-1].offset + 1)
        return _Step(home, move, ShardDelta(dead_letters=reasons), self._change(records, moved_rows, 0))

    def _change(self, records: Sequence[Record], moved_rows: dict[str, int], newest_event: int) -> Change:
        floor = max(0, newest_event // 60_000 * 60 - MINUTES_KEPT_SECONDS)
        return Change(moved_rows, floor, self._expired_tables(floor), records[-1].timestamp)

    def _expired_tables(self, floor: int) -> list[str]:
        """Minute tables that fall below this floor, but for those that a batch under way takes with it."""
        known = max(min(self._floors), self._asked_floor)
        self._asked_floor = max(known, floor)
        return self._calendar.minute_tables(known, floor) if 0 < known < floor else []

    async def _follow(self) -> None:
        """Go over to the generation that is live now. Whatever is still done to the one before is without effect."""
        if self._live is None or (generation := await self._live()) == self._generation:
            return
        self.forget()
        self._generation = generation
        self._store.use(generation.keys)
        self._calendar = Calendar(generation.time_zone)
        self._floors, self._asked_floor = [0] * generation.shards, 0

    async def _load(self, partition: TopicPartition) -> Progress:
        await self._follow()
        name = name_of(partition)
        states = await self._store.load(name)
        home = self._home(partition)
        only_home = partition.topic == self._dead_letters_topic
        progress = Progress({shard: state for shard, state in enumerate(states) if shard == home or not only_home})
        await self._check_range(partition, progress)
        self._floors, self._asked_floor = await self._store.minute_floors(), 0
        self._progress[partition] = progress
        return progress

    async def _check_range(self, partition: TopicPartition, progress: Progress) -> None:
        earliest, end = await self._log_range.offsets(partition)
        progress.log_begin = earliest
        if progress.behind and partition.topic == self._dead_letters_topic:
            await self._skip(partition, progress, earliest)  # dead letters are not archived
        highest = max(state.mark for state in progress.shards.values())
        if highest > end:
            raise RebuildNeeded(another_topic(partition, f"at offset {highest}, but the topic ends at {end}"))
        for state in progress.shards.values():
            if state.stamp is not None and state.mark > earliest:
                offset, stamp = await self._log_range.first(partition, state.mark - 1) or (None, None)
                if offset == state.mark - 1 and stamp != state.stamp:
                    raise RebuildNeeded(
                        another_topic(
                            partition, f"after a record of {state.stamp} ms, where Kafka has one of {stamp} ms"
                        )
                    )

    def _setting(self, partition: TopicPartition) -> Setting:
        return Setting(name_of(partition), self._home(partition), self._store.shards, self._calendar, min(self._floors))

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
                logger.warning("waiting %.1f s for Redis, Kafka or the archive: %s", wait, error)
                await asyncio.sleep(wait)
            else:
                self._health.set("tables", True)
                self._health.beat()
                return result


def _chunks(records: Sequence[Record], size: int) -> Iterator[Sequence[Record]]:
    for start in range(0, len(records), size):
        yield records[start : start + size]
