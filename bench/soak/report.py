"""Results of a soak test against its limits, as tables, and whether all limits hold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench.machine import table
from bench.recommend import LoadResult, percentile
from bench.soak.samples import Sample
from bench.soak.trend import Trend, trend
from local.engines.kafka import HEAP_BYTES
from local.stack import PRODUCER

MB = 1_000_000

# A process whose memory rises faster than this, beyond twice the slope's standard error, is not flat.
FLAT_MB_AN_HOUR = 30.0
# What Redis must keep is one entry an order; the rest of a shop's tables is bounded. An order of four products has been
# counted by some 50 counters, 8 bytes each; its id and its share of the table take some 60 bytes more.
REDIS_BYTES_AN_ORDER = 500.0
# A collected heap grows into its bound before its collector acts, so its slope says nothing. Next to the heap, a broker
# has its classes, compiled code, thread stacks, network buffers and the mapped indexes of its segments. The S3 server's
# collector (Go's) lets a heap double between two runs: 250 MB in use after it has stored a history.
HEAPS = {"kafka": HEAP_BYTES + 256 * 1024 * 1024, "s3": 512 * 1024 * 1024}
GAP_P99_S = 1.5
RECOMMENDATION_P99_S = 0.25
FRESHNESS_P99_MS = 2_000
LOGS_MB_AN_HOUR = 20.0
RATE_SHARE = 0.95
GROWS_WITH_ORDERS = "valkey"


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """One bound: what was measured, what was allowed, whether it held."""

    name: str
    measured: str
    bound: str
    ok: bool


@dataclass(frozen=True, slots=True)
class SoakFindings:
    """The measurements of a soak test. `steady`: the samples after the warm-up; `records`: those of topic purchases."""

    steady: Sequence[Sample]
    rate: float
    kafka_bytes: int
    recommendations: LoadResult
    followers: Mapping[str, Any]
    records: int
    unapplied: int
    events: int
    unarchived: int


def checks(found: SoakFindings) -> list[LimitCheck]:
    """Every bound."""
    return [*_memory(found), *_stalls(found), *_serving(found), *_stream(found), *_disk(found)]


def _memory(found: SoakFindings) -> list[LimitCheck]:
    others = (PRODUCER, GROWS_WITH_ORDERS, *HEAPS)
    names = [name for name in _processes(found.steady) if name not in others]
    grown = {name: _growth(found.steady, [sample.rss.get(name) for sample in found.steady]) for name in names}
    bound = f"{FLAT_MB_AN_HOUR:g} MB/h"
    flat = [
        LimitCheck(f"memory of {n}", _slope(t), bound, not t.grows_faster_than(FLAT_MB_AN_HOUR))
        for n, t in grown.items()
    ]
    return [*flat, *(_heap(found, name, most) for name, most in HEAPS.items()), _redis(found)]


def _heap(found: SoakFindings, name: str, allowed: int) -> LimitCheck:
    most = max(sample.rss.get(name, 0) for sample in found.steady)
    return LimitCheck(f"memory of {name}, most", f"{most / MB:,.0f} MB", f"{allowed / MB:,.0f} MB", 0 < most <= allowed)


def _redis(found: SoakFindings) -> LimitCheck:
    """Memory for each new order, or none where no order is new."""
    first, last = found.steady[0], found.steady[-1]
    orders = _orders(last) - _orders(first)
    grown = last.redis_bytes - first.redis_bytes
    if orders < 1000:
        slope = _growth(found.steady, [sample.redis_bytes for sample in found.steady])
        return LimitCheck(
            "Redis's data", _slope(slope), f"{FLAT_MB_AN_HOUR:g} MB/h", not slope.grows_faster_than(FLAT_MB_AN_HOUR)
        )
    figure = grown / orders
    return LimitCheck(
        f"Redis's data, {orders:,} new orders",
        f"{figure:.0f} B/order",
        f"{REDIS_BYTES_AN_ORDER:g} B/order",
        figure <= REDIS_BYTES_AN_ORDER,
    )


def _orders(sample: Sample) -> int:
    return int(sample.summary["orders"]) if sample.summary else 0


def _stalls(found: SoakFindings) -> list[LimitCheck]:
    first, last = found.steady[0].stalls, found.steady[-1].stalls
    counts = {name: last[name].over_bound - first[name].over_bound for name in last if name in first}
    return [
        LimitCheck(
            f"stalls of {name} over 250 ms",
            f"{count} (longest {_longest(found.steady, name) * 1000:.0f} ms)",
            "0",
            count == 0,
        )
        for name, count in counts.items()
    ]


def _longest(samples: Sequence[Sample], name: str) -> float:
    # A gauge covers the last minute, so the samples of the first minute may include the warm-up.
    since = samples[0].at + 60
    later = [sample for sample in samples if sample.at >= since] or samples
    return max((sample.stalls[name].longest_s for sample in later if name in sample.stalls), default=0.0)


def _serving(found: SoakFindings) -> list[LimitCheck]:
    latencies = [one.latency for one in found.recommendations.answers]
    p50, p99 = percentile(latencies, 50), percentile(latencies, 99)
    failed = sum(found.recommendations.failures.values())
    why = ", ".join(f"{reason} {count}" for reason, count in found.recommendations.failures.most_common(3))
    followers = found.followers
    lost = sum(followers["lost"].values())
    dropped = found.steady[-1].dropped.get("slow", 0)
    due, opened = followers["deaf_due"], followers["deaf_opened"]
    return [
        LimitCheck(
            f"recommendations, p99 of {len(latencies):,}",
            f"{p99 * 1000:.1f} ms (p50 {p50 * 1000:.1f})",
            f"{RECOMMENDATION_P99_S * 1000:.0f} ms",
            p99 <= RECOMMENDATION_P99_S,
        ),
        LimitCheck("recommendations that failed", f"{failed}{f' ({why})' if why else ''}", "0", failed == 0),
        LimitCheck(
            f"time between snapshots, p99 of {followers['gaps']:,}",
            f"{followers['gap_p99_s']:.2f} s (longest {followers['gap_longest_s']:.2f})",
            f"{GAP_P99_S} s",
            followers["gaps"] > 0 and followers["gap_p99_s"] <= GAP_P99_S,
        ),
        LimitCheck("followers lost", f"{lost} {followers['lost'] or ''}", "0", lost == 0),
        LimitCheck(
            "deaf clients dropped as slow", f"{dropped} of {opened}", f"{due} or more", due <= dropped <= opened
        ),
    ]


def _stream(found: SoakFindings) -> list[LimitCheck]:
    summaries = [sample.summary for sample in found.steady if sample.summary]
    fresh = [float(s["freshness_ms"]) for s in summaries if s["freshness_ms"] is not None]
    lags = [int(s["lag"]) for s in summaries if s["lag"] is not None]
    first, last = _first_and_last(found.steady)
    rate = (last[1] - first[1]) / (last[0] - first[0])
    ages = [sample.knowledge_age_s * 1000 for sample in found.steady if sample.knowledge_age_s is not None]
    lost = found.records - found.events
    return [
        LimitCheck(
            "purchases applied a second",
            f"{rate:,.0f}",
            f"{RATE_SHARE * found.rate:,.0f}",
            rate >= RATE_SHARE * found.rate,
        ),
        _age("freshness, p99", fresh),
        LimitCheck(
            "records behind, most",
            f"{max(lags, default=0):,}",
            f"{2 * found.rate:,.0f}",
            max(lags, default=0) <= 2 * found.rate,
        ),
        _age("age of what the recommender knows, p99", ages),
        LimitCheck(f"records lost of {found.records:,}", f"{lost:,}", "0", lost == 0 and found.unapplied == 0),
        LimitCheck("records not archived at the end", f"{found.unarchived:,}", "0", found.unarchived == 0),
    ]


def _age(name: str, milliseconds: Sequence[float]) -> LimitCheck:
    p50, p99, most = percentile(milliseconds, 50), percentile(milliseconds, 99), max(milliseconds, default=math.nan)
    measured = f"{p99:,.0f} ms (p50 {p50:,.0f}, most {most:,.0f})"
    return LimitCheck(name, measured, f"{FRESHNESS_P99_MS:,} ms", p99 <= FRESHNESS_P99_MS)


def _first_and_last(samples: Sequence[Sample]) -> tuple[tuple[float, int], tuple[float, int]]:
    counts = [(sample.at, int(sample.summary["events"])) for sample in samples if sample.summary]
    return counts[0], counts[-1]


def _disk(found: SoakFindings) -> list[LimitCheck]:
    most = max(sample.disk["kafka"] for sample in found.steady)
    logs = _growth(found.steady, [sample.disk["logs"] for sample in found.steady])
    return [
        LimitCheck(
            "Kafka's folder, most",
            f"{most / MB:,.0f} MB",
            f"{found.kafka_bytes / MB:,.0f} MB",
            most <= found.kafka_bytes,
        ),
        LimitCheck(
            "growth of the logs", _slope(logs), f"{LOGS_MB_AN_HOUR:g} MB/h", not logs.grows_faster_than(LOGS_MB_AN_HOUR)
        ),
    ]


def render(found: SoakFindings) -> str:
    """Processes, folders and bounds as tables."""
    return "\n\n".join((_process_table(found.steady), _folder_table(found.steady), _check_table(checks(found))))


def _process_table(samples: Sequence[Sample]) -> str:
    rows: list[tuple[str, ...]] = [("process", "RSS at first", "at the end", "most", "slope", "cores")]
    for name in _processes(samples):
        taken = [sample.rss[name] for sample in samples if name in sample.rss]
        slope = (
            "new each file"
            if name == PRODUCER
            else _slope(_growth(samples, [sample.rss.get(name) for sample in samples]))
        )
        figures = [f"{value / MB:,.1f} MB" for value in (taken[0], taken[-1], max(taken))]
        rows.append((name, *figures, slope, _cores(samples, name)))
    return table(rows)


def _cores(samples: Sequence[Sample], name: str) -> str:
    used = sum(
        max(0.0, after.cpu_s[name] - before.cpu_s[name])
        for before, after in pairwise(samples)
        if name in before.cpu_s and name in after.cpu_s
    )
    return f"{used / (samples[-1].at - samples[0].at):.2f}"


def _folder_table(samples: Sequence[Sample]) -> str:
    rows: list[tuple[str, ...]] = [("on disk", "at first", "at the end", "most", "slope")]
    for name in samples[0].disk:
        taken = [sample.disk[name] for sample in samples]
        figures = [f"{value / MB:,.1f} MB" for value in (taken[0], taken[-1], max(taken))]
        rows.append((name, *figures, _slope(_growth(samples, taken))))
    redis = [sample.redis_bytes / MB for sample in samples]
    slope = _slope(_growth(samples, [sample.redis_bytes for sample in samples]))
    rows.append(
        ("Redis's data, in memory", f"{redis[0]:,.1f} MB", f"{redis[-1]:,.1f} MB", f"{max(redis):,.1f} MB", slope)
    )
    return table(rows)


def _check_table(made: Sequence[LimitCheck]) -> str:
    rows = [("bound", "measured", "allowed", "")]
    rows += [(check.name, check.measured, check.bound, "holds" if check.ok else "BROKEN") for check in made]
    return table(rows)


def _processes(samples: Sequence[Sample]) -> list[str]:
    return list(dict.fromkeys(name for sample in samples for name in sample.rss))


def _growth(samples: Sequence[Sample], values: Sequence[int | None]) -> Trend:
    """The trend of bytes, one value a sample, in MB an hour."""
    points = [(sample.at, taken / MB) for sample, taken in zip(samples, values, strict=True) if taken is not None]
    begin = points[0][0] if points else 0.0
    return trend([at - begin for at, _ in points], [megabytes for _, megabytes in points])


def _slope(found: Trend) -> str:
    return f"{found.slope:+.1f} ± {found.error:.1f} MB/h"
