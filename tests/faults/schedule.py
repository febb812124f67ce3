"""Schedule of a trial, from its seed alone: rows, rate, faults and their times. Pure.

Seeds come in blocks that share a round, and so a stack: the seed decides the number of shards too, and a seed that
is run by itself repeats its trial. Trials of a block go through the kinds of fault in turn; every third one
suffers two or three at once.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.support.shop import Row, seed_rows

TRIALS_A_ROUND = 20
RATE = 250  # rows a second
SHORT_ROWS = 1_500
_TIME = "%Y-%m-%d %H:%M:%S UTC"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault, and how long it may last. Only kinds that touch different components are combined."""

    name: str
    touches: frozenset[str]
    lasts_s: tuple[float, float]
    shards: int = 1


def _kind(name: str, touches: str, shortest_s: float, longest_s: float, shards: int = 1) -> FaultKind:
    return FaultKind(name, frozenset(touches.split()), (shortest_s, longest_s), shards)


KINDS = (
    _kind("kill producer", "producer", 0, 2),
    _kind("kill broker", "broker", 0, 2),
    _kind("kill aggregator", "aggregator", 0, 2),
    _kind("kill archiver", "archiver", 0, 2),
    _kind("kill Redis", "redis", 0, 2),
    _kind("kill S3", "s3", 0, 2),
    _kind("kill recommender", "recommender", 1, 2),
    _kind("kill gateway", "gateway", 0, 2),
    _kind("zombie aggregator", "aggregator", 9, 10),
    _kind("zombie archiver", "archiver", 8, 9),
    _kind("1, 3, 2 aggregators", "aggregator", 3, 5),
    _kind("crash between scripts", "aggregator", 0, 1, shards=2),
    _kind("restart broker", "broker", 0, 1),
    _kind("restore Redis", "redis", 1, 4),
    _kind("empty Redis", "redis", 0, 1),
    _kind("empty Redis, trim Kafka", "redis", 0, 1),
    _kind("slow Redis", "aggregator", 2, 4),
    _kind("freeze Redis", "redis", 1, 3),
    _kind("S3 refuses", "s3", 2, 20),
    _kind("stop S3", "s3", 3, 20),
    _kind("broker's disk full", "broker", 1, 2),
    _kind("Redis's disk full", "redis", 1, 2),
    _kind("clock jump", "clock", 0, 1),
    _kind("kill Spark job", "spark", 2, 25),
    # Senders other than the producer need a running broker.
    _kind("aborted transactions", "senders broker", 1, 4),
    _kind("odd event ids", "senders broker", 0, 1),
    _kind("poisoned records", "senders broker", 0, 1),
    _kind("overlapping exports", "senders broker", 0, 1),
    _kind("more partitions", "partitions broker", 0, 1),
    _kind("Redis fails over", "redis", 1, 3),
    _kind("clock skew", "clocks", 2, 5),
)
BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of a trial: injected `at_s` after the start of the stream, ended at least `lasts_s` later."""

    kind: str
    at_s: float
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.kind} at {self.at_s:.1f} s for {self.lasts_s:.1f} s"


@dataclass(frozen=True, slots=True)
class FaultTrial:
    """One trial, wholly decided by its seed and the kinds allowed."""

    seed: int
    shards: int
    rows: int
    faults: tuple[PlannedFault, ...]

    @property
    def kinds(self) -> list[str]:
        """The names of its faults, sorted."""
        return sorted(fault.kind for fault in self.faults)

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.shards} shards, {self.rows} rows: {'; '.join(map(str, self.faults))}"


def trial(seed: int, only: Sequence[str] = ()) -> FaultTrial:
    """The trial of a seed. `only`: of these kinds, each alone. Raises ValueError for an unknown one."""
    unknown = [name for name in only if name not in BY_NAME]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no kind of fault; there are: {', '.join(BY_NAME)}")
    chance = random.Random(seed)
    shards = _shards(seed, only)
    possible = [kind for kind in KINDS if kind.shards <= shards and (not only or kind.name in only)]
    first = possible[seed % len(possible)]
    chosen = [first] if only else [first, *_more(chance, first, possible)]
    faults = tuple(
        PlannedFault(kind.name, round(chance.uniform(0.5, 2.0), 2), round(chance.uniform(*kind.lasts_s), 2))
        for kind in chosen
    )
    ended_s = max(fault.at_s + fault.lasts_s for fault in faults)
    return FaultTrial(seed, shards, int(RATE * min(12.0, max(4.0, ended_s + 2))), faults)


def rounds(seed: int, trials: int, only: Sequence[str] = ()) -> Iterator[list[FaultTrial]]:
    """The trials of `trials` seeds from `seed` on, block by block."""
    block: list[FaultTrial] = []
    for number in range(seed, seed + trials):
        if block and number % TRIALS_A_ROUND == 0:
            yield block
            block = []
        block.append(trial(number, only))
    if block:
        yield block


def covering(seed: int) -> list[FaultTrial]:
    """A few trials on two shards that inject every kind once between them, as many as possible at a time, shortly."""
    chance = random.Random(seed)
    groups: list[list[FaultKind]] = []
    for kind in KINDS:
        free = (group for group in groups if not any(other.touches & kind.touches for other in group))
        group = next(free, None)
        groups.append([kind]) if group is None else group.append(kind)
    return [
        FaultTrial(
            seed + number,
            2,
            SHORT_ROWS,
            tuple(PlannedFault(kind.name, round(chance.uniform(0.5, 2.0), 2), kind.lasts_s[0]) for kind in group),
        )
        for number, group in enumerate(groups)
    ]


def rows_of(planned: FaultTrial, now: datetime) -> list[Row]:
    """The rows that the trial streams; a clock jump moves the times of some hours or days past `now`, or years back."""
    rows = seed_rows(planned.seed, planned.rows)
    return _jumped(rows, random.Random(planned.seed), now) if "clock jump" in planned.kinds else rows


def _shards(seed: int, only: Sequence[str]) -> int:
    needed = max((BY_NAME[name].shards for name in only), default=1)
    return max(needed, (2, 1, 3)[seed // TRIALS_A_ROUND % 3])


def _more(chance: random.Random, first: FaultKind, possible: Sequence[FaultKind]) -> Iterator[FaultKind]:
    """None, one or two more kinds that touch nothing which an earlier one touches."""
    wanted = chance.choices((0, 1, 2), weights=(65, 25, 10))[0]
    touched = set(first.touches)
    for kind in chance.sample(possible, len(possible)):
        if wanted and not touched & kind.touches and kind.name != "kill Spark job":
            touched |= kind.touches
            wanted -= 1
            yield kind


def _jumped(rows: Sequence[Row], chance: random.Random, now: datetime) -> list[Row]:
    """The clock runs ahead by hours (accepted), by days (refused), and years behind (accepted); then it is right."""
    leaps = (timedelta(hours=chance.uniform(1, 20)), timedelta(days=chance.uniform(2, 400)), timedelta(days=-4000))
    times = [f"{now + leap:{_TIME}}" for leap in leaps]
    fifth = len(rows) // 5
    return [
        [times[(number // fifth - 1) % 3], *row[1:]] if fifth <= number < 4 * fifth else row
        for number, row in enumerate(rows)
    ]
