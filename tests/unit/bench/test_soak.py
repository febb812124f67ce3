"""What a soak computes: slopes, made-up purchases, stalls and drops read from metrics, bounds."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.recommend import Answered, LoadResult
from bench.soak.report import MB, SoakFindings, checks, render
from bench.soak.samples import Sample, Stalls, disk_bytes, dropped, knowledge_age_s, logged_stalls, stalls
from bench.soak.shop import CUSTOMERS, PRODUCTS, rows
from bench.soak.trend import trend
from services.common.events import Purchase, parse
from services.producer.csv_rows import Block
from services.producer.line_ids import LineIdReader
from services.producer.partitioner import keyed_partitioner
from services.producer.rows import Record, RowEncoder
from services.producer.source import REQUIRED

MINUTES = 10
FOLLOWERS = {
    "lost": {}, "deaf_opened": 5, "deaf_due": 5, "gaps": 100, "gap_p50_s": 1.0, "gap_p99_s": 1.1, "gap_longest_s": 1.2,
}  # fmt: skip


def test_the_slope_of_a_line_is_found_without_error() -> None:
    seconds = [float(second) for second in range(0, 600, 5)]
    found = trend(seconds, [100 + 36 * second / 3600 for second in seconds])
    assert found.slope == pytest.approx(36)
    assert found.error == pytest.approx(0, abs=1e-6)


def test_noise_widens_the_error_and_hides_no_growth() -> None:
    seconds = [float(second) for second in range(0, 600, 5)]
    noise = [(-1) ** place for place in range(len(seconds))]
    flat = trend(seconds, [100 + wobble for wobble in noise])
    steep = trend(seconds, [100 + 90 * second / 3600 + wobble for second, wobble in zip(seconds, noise, strict=True)])
    assert flat.error > 1
    assert not flat.grows_faster_than(30)
    assert steep.grows_faster_than(30)


def test_two_samples_have_no_trend() -> None:
    assert math.isnan(trend([0, 5], [1, 2]).slope)


def test_made_up_purchases_are_valid_and_bounded() -> None:
    made = list(rows(range(1_000, 9_000), rate=100, since=1_700_000_000))
    block = Block(1, [line[:-1].split(",") for line in made], made)
    ids = LineIdReader(REQUIRED)
    ids.add(block)
    encoder = RowEncoder(REQUIRED, "soak-1", ids.line_ids(), keyed_partitioner(4))
    encoded = encoder.encode(block, 1_790_000_000_000)
    assert all(isinstance(record, Record) for record in encoded)
    lines = [parse(record.value, 1_790_000_000_000) for record in encoded]
    purchases = [line for line in lines if isinstance(line, Purchase)]
    assert len({purchase.order_id for purchase in purchases}) == len(made) // 4
    assert len({purchase.product_id for purchase in purchases}) <= PRODUCTS
    customers = {purchase.user_id for purchase in purchases}
    assert None in customers
    assert len(customers) <= CUSTOMERS + 1
    assert purchases[-1].event_time - purchases[0].event_time == 79_000


def test_other_numbers_are_other_orders() -> None:
    first, second = (
        {re.split(",", line)[1] for line in rows(numbers, 1, 0)} for numbers in (range(400), range(400, 800))
    )
    assert not first & second


def test_stalls_and_drops_are_read_from_metrics() -> None:
    text = """\
# TYPE tillstream_loop_stall_seconds histogram
tillstream_loop_stall_seconds_bucket{le="0.1"} 90.0
tillstream_loop_stall_seconds_bucket{le="0.25"} 97.0
tillstream_loop_stall_seconds_bucket{le="+Inf"} 100.0
tillstream_loop_stall_seconds_count 100.0
# TYPE tillstream_loop_longest_stall_seconds gauge
tillstream_loop_longest_stall_seconds 0.31
# TYPE tillstream_gateway_stream_dropped_total counter
tillstream_gateway_stream_dropped_total{reason="slow"} 5.0
# TYPE tillstream_recommender_stream_age_seconds gauge
tillstream_recommender_stream_age_seconds{version="new"} 0.4
tillstream_recommender_stream_age_seconds{version="old"} 0.6
tillstream_recommender_stream_age_seconds{version="next"} NaN
"""
    assert stalls(text) == Stalls(3, 0.31)
    assert dropped(text) == {"slow": 5}
    assert knowledge_age_s(text) == 0.6
    assert stalls("") is None
    assert knowledge_age_s("") is None


def test_long_stalls_are_read_from_the_logs(tmp_path: Path) -> None:
    def log(service: str, *entries: tuple[str, str, str]) -> None:
        lines = (
            json.dumps({"time": time, "service": service, "logger": logger, "message": message}) + "\n"
            for time, logger, message in entries
        )
        (tmp_path / f"{service}.log").write_text("".join(lines))

    log(
        "gateway",
        ("12:00", "gateway", "serving"),
        ("12:05", "services.common.eventloop_lag", "event loop blocked for 310 ms"),
    )
    log("archiver", ("12:04", "services.common.eventloop_lag", "event loop blocked for 260 ms"))
    (tmp_path / "kafka.log").write_text("no JSON here\n")
    assert logged_stalls(tmp_path) == [
        "12:04 archiver: event loop blocked for 260 ms",
        "12:05 gateway: event loop blocked for 310 ms",
    ]


def test_disk_is_what_the_files_take(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x" * 10_000)
    assert 8_192 <= disk_bytes(tmp_path) <= 20_480


HEAPS = {"kafka": MB, "s3": 250 * MB}


def sample(second: float, **more: object) -> Sample:
    summary = {"orders": int(1250 * second), "events": int(5000 * second), "freshness_ms": 300, "lag": 900}
    steady = Sample(
        at=second,
        rss={**HEAPS, "gateway": 150 * MB, "valkey": 200 * MB, "kafka": int(300 * MB + 100_000 * second)},
        cpu_s={"gateway": second / 2, "valkey": 0.0},
        disk={"kafka": 100 * MB, "logs": MB},
        redis_bytes=int(100 * MB + 100 * 1250 * second),
        summary=summary,
        stalls={"gateway": Stalls(2, 0.05)},
        dropped={"slow": 5},
        knowledge_age_s=0.5,
    )
    return replace(steady, **more)  # type: ignore[arg-type]


def answered(latencies: list[float]) -> LoadResult:
    return LoadResult([Answered(0.0, latency, "one") for latency in latencies])


def findings(samples: list[Sample]) -> SoakFindings:
    return SoakFindings(
        steady=samples, rate=5000, kafka_bytes=400 * MB, recommendations=answered([0.002] * 100), followers=FOLLOWERS,
        records=3_000_000, unapplied=0, events=3_000_000, unarchived=0,
    )  # fmt: skip


def broken(found: SoakFindings) -> list[str]:
    return [check.name for check in checks(found) if not check.ok]


SECONDS = range(0, MINUTES * 60, 5)
STEADY = [sample(second) for second in SECONDS]


def test_a_steady_stack_breaks_no_bound() -> None:
    found = findings(STEADY)
    assert broken(found) == []
    assert "BROKEN" not in render(found)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (
            findings([sample(s, rss={**HEAPS, "gateway": 150 * MB + 20_000 * s}) for s in SECONDS]),
            "memory of gateway",
        ),
        (findings([sample(s, rss={**HEAPS, "kafka": 810 * MB}) for s in SECONDS]), "memory of kafka"),
        (findings([sample(s, rss={**HEAPS, "s3": 540 * MB}) for s in SECONDS]), "memory of s3"),
        (findings([sample(s, rss={"s3": MB, "gateway": 150 * MB}) for s in SECONDS]), "memory of kafka"),
        (findings([sample(s, stalls={"gateway": Stalls(2 + (s > 300), 0.3)}) for s in SECONDS]), "stalls of gateway"),
        (findings([sample(s, redis_bytes=1000 * 1250 * s) for s in SECONDS]), "Redis's data"),
        (findings([sample(s, disk={"kafka": 401 * MB, "logs": MB}) for s in SECONDS]), "Kafka's folder"),
        (
            findings([sample(s, knowledge_age_s=40.0 if s > 300 else 0.5) for s in SECONDS]),
            "age of what",
        ),
        (findings([sample(s, knowledge_age_s=None) for s in SECONDS]), "age of what"),
        (replace(findings(STEADY), events=2_999_999), "records lost"),
        (replace(findings(STEADY), followers={**FOLLOWERS, "lost": {"closed": 1}}), "followers lost"),
        (replace(findings(STEADY), followers={**FOLLOWERS, "deaf_due": 6}), "deaf clients"),
        (replace(findings(STEADY), recommendations=answered([0.002] * 98 + [0.3] * 2)), "recommendations, p99"),
    ],
)
def test_what_breaks_a_bound_is_named(found: SoakFindings, name: str) -> None:
    (only,) = broken(found)
    assert only.startswith(name)
    assert "BROKEN" in render(found)
