"""What the benchmarks compute themselves."""

import math
import os
import subprocess
import sys

import pytest

from bench import page
from bench.machine import CpuMeter, cpu_seconds, cpu_table, machine, table
from bench.recommend import Answered, LoadResult, percentile, render
from bench.swap import copied_in
from services.common.model_pointer import ChangeAuthor
from services.common.model_registry import POINTER, activate, publish, published_versions, read_pointer
from tests.support.bucket import Bucket

BY_HAND = ChangeAuthor("ann", "", 1_700_000_000_000)


def shop(*versions: str) -> Bucket:
    """A bucket in which each of these versions was live in its turn."""
    bucket = Bucket()
    for version in versions:
        bucket.put(f"models/als/{version}/manifest.json", b"{}")
        publish(bucket, version, BY_HAND)
    return bucket


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([3, 1, 2], 50, 2), (range(1, 101), 99, 99), (range(1, 101), 100, 100), ([7], 1, 7), ([1, 2], 50, 1)],
)
def test_percentiles_are_values_that_were_seen(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 99))


def test_failures_are_shown_with_their_reasons() -> None:
    outcome = LoadResult([Answered(0.0, 0.001, "one"), Answered(1.0, 0.002, "one")])
    outcome.failures["status 500"] += 3
    lines = [line.split() for line in render(outcome).splitlines()]
    assert ["answered", "2"] in lines
    assert ["p100", "2.0", "ms"] in lines
    assert ["failed", "3"] in lines
    assert ["status", "500", "3"] in lines


def test_a_swap_lasts_until_the_new_version_answers() -> None:
    versions = ["one", "one", "one", "two", "two", "one"]
    answers = [Answered(float(due), 0.001 * (due + 1), version) for due, version in enumerate(versions)]
    outcome = LoadResult(answers, [(1.5, "two"), (4.5, "one")])
    assert outcome.swaps() == [(1.5, 3.0), (4.5, 5.0)]
    lines = [line.split() for line in render(outcome).splitlines()]
    assert ["swaps", "took", "1.5", "s,", "0.5", "s"] in lines
    assert [line[2] for line in lines if line[1:2] == ["answered"]] == ["2", "1", "3"]
    assert ["during:", "p100", "3.0", "ms"] in lines
    assert ["after:", "p100", "6.0", "ms"] in lines


def test_after_swaps_the_pointer_is_what_it_was_and_the_copy_is_gone() -> None:
    bucket = shop("v1", "v2")
    before = bucket.get(POINTER)
    with copied_in(bucket) as models:
        assert published_versions(bucket) == sorted(["v1", "v2", models.copy])
        models.activate()
        models.activate_original()
    assert (bucket.get(POINTER), published_versions(bucket)) == (before, ["v1", "v2"])


def test_what_somebody_else_made_live_meanwhile_stays() -> None:
    bucket = shop("v1", "v2", "v3")
    with copied_in(bucket) as models:
        models.activate()
        activate(bucket, "v1", BY_HAND)
    pointer, _etag = read_pointer(bucket)
    assert pointer is not None
    assert (pointer.version, pointer.previous) == ("v1", "v3")


def test_a_table_is_aligned() -> None:
    assert table([("what", "n"), ("a", "100")]) == "what    n\na     100"


def test_a_meter_counts_from_its_making_and_outlives_the_process() -> None:
    meter = CpuMeter({"self": os.getpid()})
    sum(range(3_000_000))
    meter.read()
    assert 0 < meter.seconds["self"] < (cpu_seconds(os.getpid()) or 0)
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        other = CpuMeter({"child": child.pid})
    other.read()
    assert other.seconds == {"child": 0.0}
    assert cpu_table(other, 2.0).splitlines()[-1].split() == ["all", "0.0", "0.00"]


def test_the_machine_is_named_with_its_cores() -> None:
    assert machine().startswith(f"{os.cpu_count()} cores ")


def test_a_marked_purchase_is_timed_by_the_first_pixel_that_has_it() -> None:
    shown = [("$1,000,000.00", 900.0), ("$3,000,000.00", 1500.0), ("$4,000,000.00", 2100.0)]
    # Number 1 and 2 came with one snapshot; number 4 was never shown.
    assert page.delays([1000.0, 1200.0, 1900.0, 2300.0], shown) == [500.0, 300.0, 200.0]


def test_a_tab_is_one_of_the_busiest_renderers() -> None:
    seconds = {"chromium renderer 1": 3.0, "chromium renderer 2": 1.0, "chromium renderer 3": 0.1, "gateway": 50.0}
    assert page.tab_seconds(seconds, tabs=2) == 2.0
