"""Pure functions on replies of Redis: sums over shards, merged rankings, lag."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from services.common.event_clock import watermark_of
from services.common.tables import Figures, parse_figures

Hash = Mapping[str, str]
# (member, score) pairs of one shard's sorted set, ascending.
Scored = Sequence[tuple[str, float]]

_CLOCK_TOLERANCE_MS = 1_000


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over all shards. Times are epoch milliseconds; `minute_floor` is a bucket start in seconds."""

    revenue: int = 0
    quantity: int = 0
    orders: int = 0
    buyers: int = 0
    events: int = 0
    first_event: int | None = None
    last_event: int | None = None
    minute_floor: int | None = None
    freshness_ms: int | None = None


def totals_of(shards: Sequence[Hash]) -> Totals:
    """Totals from the `totals` hash of every shard."""

    def total(field: str) -> int:
        return sum(int(shard.get(field, 0)) for shard in shards)

    def known(field: str) -> list[int]:
        return [int(shard[field]) for shard in shards if shard.get(field)]

    return Totals(
        revenue=total("revenue"),
        quantity=total("quantity"),
        orders=total("orders"),
        buyers=total("buyers"),
        events=total("events"),
        first_event=min(known("first_event"), default=None),
        last_event=max(known("last_event"), default=None),
        # Below the highest floor, some shard's minutes are deleted, so a sum would be too low.
        minute_floor=max(known("minute_floor"), default=None),
        freshness_ms=_freshness(shards),
    )


def _freshness(shards: Sequence[Hash]) -> int | None:
    measured = [shard for shard in shards if shard.get("freshness_ms")]
    if not measured:
        return None
    freshness_ms = int(max(measured, key=lambda shard: int(shard.get("applied_at", 0)))["freshness_ms"])
    # A record cannot be applied before it arrives: the clocks of broker and aggregator differ, and nothing is known.
    return None if freshness_ms < -_CLOCK_TOLERANCE_MS else max(0, freshness_ms)


def figures_sum(packed: Iterable[str | None]) -> Figures:
    """The sum of one entry's packed figures over shards."""
    return sum(map(parse_figures, packed), Figures())


def count_sum(shards: Sequence[Hash]) -> int:
    """The sum of all counts of the shards' hashes, e.g. of `dead_letters`."""
    return sum(int(count) for shard in shards for count in shard.values())


def by_count(shards: Sequence[Hash]) -> list[tuple[str, int]]:
    """The counts of the shards' hashes added up by name: the highest first, then by name."""
    counts: Counter[str] = Counter()
    for shard in shards:
        counts.update({name: int(count) for name, count in shard.items()})
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def by_revenue(entries: Mapping[str, Figures]) -> list[tuple[str, Figures]]:
    """Entries by revenue descending, then id ascending (by bytes, as sorted sets order them)."""
    return sorted(entries.items(), key=lambda entry: (-entry[1].revenue, entry[0].encode()))


def merge_ranked(shards: Sequence[Scored], n: int) -> list[str]:
    """The first n members over shards whose sorted sets hold minus revenue."""
    merged = sorted(chain.from_iterable(shards), key=lambda pair: (pair[1], pair[0].encode()))
    return [member for member, _score in merged[:n]]


def share(revenue: int, all_revenue: int) -> float | None:
    """The part of all revenue; None where that is zero. Above 1 where other entries have net returns."""
    return revenue / all_revenue if all_revenue else None


def present_of(newest_events: Sequence[Scored], last_event: int | None) -> int | None:
    """The shop's present (epoch ms) from the `newest_events` of all shards; `last_event` where there are none.

    Tables of an earlier format have none.
    """
    times = [int(time_ms) for shard in newest_events for _member, time_ms in shard]
    return watermark_of(times) if times else last_event


def applied_offsets(marks: Sequence[Hash], topic: str, offsets: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """Each partition's applied offset: the lowest mark of all shards, or the log's beginning where that is past it.

    `offsets` holds each partition's (beginning, end).
    """
    return {partition: _mark(marks, f"{topic}/{partition}", begin) for partition, (begin, _end) in offsets.items()}


def lag(applied: Mapping[int, int], offsets: Mapping[int, tuple[int, int]]) -> int:
    """Records of the topic not yet applied."""
    return sum(max(0, end - applied[partition]) for partition, (_beginning, end) in offsets.items())


def _mark(marks: Sequence[Hash], partition: str, beginning: int) -> int:
    return min(max(int(shard.get(partition, 0)), beginning) for shard in marks)
