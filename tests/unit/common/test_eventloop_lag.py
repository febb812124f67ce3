"""Stalls of an event loop are measured."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable

import pytest

from services.common.eventloop_lag import GcTimer, SlidingMax, watched_loop
from services.common.telemetry import Health
from tests.support.metrics import gauge, growth


def measured(above_s: str) -> Callable[[], float]:
    """How many sleeps wake later than a bucket's bound from now on."""
    below, all_sleeps = growth("loop_stall_seconds_bucket", le=above_s), growth("loop_stall_seconds_count")
    return lambda: all_sleeps() - below()


async def test_a_blocked_loop_is_measured_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    stalls = measured("0.25")
    with caplog.at_level(logging.WARNING):
        async with watched_loop(Health("test")):
            await asyncio.sleep(0.01)
            time.sleep(0.4)  # noqa: ASYNC251 (what no service may do)
            await asyncio.sleep(0.01)
    assert stalls() >= 1
    assert (gauge("loop_longest_stall_seconds") or 0) >= 0.3
    assert "event loop blocked for" in caplog.text


async def test_collections_of_garbage_are_told_from_other_work(caplog: pytest.LogCaptureFixture) -> None:
    kept = [[number] for number in range(300_000)]  # to be walked
    async with watched_loop(Health("test")):
        await asyncio.sleep(0.01)
        time.sleep(0.3)  # noqa: ASYNC251 (what no service may do)
        begun = time.monotonic()
        gc.collect()
        collected_ms = (time.monotonic() - begun) * 1000
        await asyncio.sleep(0.01)
    del kept  # it had to live until the collection
    *_, stall = (record for record in caplog.records if "event loop blocked" in record.message)
    fields = vars(stall)
    logged_ms = fields["gc_ms"]
    # Nearly all of the stall was sleep: the collection is neither all of it nor none.
    assert 0 < logged_ms <= fields["blocked_ms"] - 250
    assert logged_ms == pytest.approx(collected_ms, rel=0.5, abs=5), "a collection is timed from both sides"
    assert f"{logged_ms} ms garbage collection" in caplog.text
    assert not any(isinstance(callback, GcTimer) for callback in gc.callbacks), "counted while it is watched only"


async def test_an_idle_loop_is_no_stall() -> None:
    stalled = []
    for _attempt in range(20):  # on a busy machine, the process itself may be held up meanwhile
        stalls = measured("0.25")
        async with watched_loop(Health("test")):
            await asyncio.sleep(0.3)
        stalled.append(stalls())
        if not stalled[-1]:
            break
    assert stalled[-1] == 0


def test_the_longest_is_forgotten_after_a_minute() -> None:
    longest = SlidingMax()
    assert longest.value(0) == 0
    longest.add(0.3, now=10)
    for second in range(11, 60):
        longest.add(0.01, now=second)
    assert longest.value(60) == 0.3
    assert longest.value(10 + 60) == 0.01
