"""Liveness is the event loop's; readiness is that of the work."""

import asyncio
import logging
import time

import pytest
from aiokafka.errors import KafkaConnectionError

from services.common.eventloop_lag import watched_loop
from services.common.kafka import WaitLog
from services.common.telemetry import STALL_AFTER_S, Health
from tests.support.metrics import gauge


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is past the limit of a loop that is stuck."""
    now = time.monotonic()
    monkeypatch.setattr("services.common.telemetry.time.monotonic", lambda: now + STALL_AFTER_S + 1)


def test_a_process_that_starts_is_alive(later: None) -> None:
    assert Health("test", checks=("kafka",)).alive


def test_a_loop_that_does_not_turn_any_more_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health("test")
    health.beat()
    now = time.monotonic()
    for later_s, alive in ((STALL_AFTER_S - 1, True), (STALL_AFTER_S + 1, False)):
        monkeypatch.setattr("services.common.telemetry.time.monotonic", lambda later_s=later_s: now + later_s)
        assert health.alive is alive


async def test_a_loop_that_waits_for_engines_is_alive(later: None) -> None:
    """Whatever its checks say: only the loop beats."""
    health = Health("test", checks=("kafka",))
    async with watched_loop(health):
        await asyncio.sleep(0)
        health.set("kafka", False, "away")
        assert health.alive


def test_ready_is_every_check() -> None:
    health = Health("test", checks=("kafka", "s3"))
    assert not health.ready
    health.set("kafka", True)
    health.set("s3", True)
    assert health.ready
    health.set("s3", False, "refused")
    assert not health.ready
    assert health.describe()["checks"]["s3"] == {"ok": False, "detail": "refused"}


def test_a_service_that_stops_is_not_ready_and_alive() -> None:
    for health in (Health("test"), Health("test", stays_ready=True)):
        health.drain()
        health.set("kafka", True)
        assert (health.ready, health.alive, health.describe()["draining"]) == (False, True, True)


def test_a_service_that_stays_ready_has_to_be_ready_once() -> None:
    health = Health("test", checks=("redis",), stays_ready=True)
    health.set("redis", False, "unreachable")
    assert not health.ready
    health.set("redis", True)
    health.set("redis", False, "unreachable")
    assert health.ready
    assert health.describe()["checks"]["redis"]["ok"] is False, "the check still says so"


def test_a_wait_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    reasons: list[str] = []
    wait_log = WaitLog(reasons.append, lambda: now)
    with caplog.at_level(logging.WARNING):
        for second in range(21):
            now = float(second)
            wait_log(KafkaConnectionError("no broker"))
        wait_log(OSError("no route"))
    assert len(reasons) == 22
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for Kafka: KafkaConnectionError: no broker",
        "waiting for Kafka: KafkaConnectionError: no broker",
        "waiting for Kafka: KafkaConnectionError: no broker",
        "waiting for Kafka: no route",
    ]


def test_each_check_is_a_metric() -> None:
    def value() -> float | None:
        return gauge("health_check", check="test-engine")

    health = Health("test", checks=("test-engine",))
    assert value() == 0, "a check that nobody has made yet has not passed"
    health.set("test-engine", True)
    assert value() == 1
    health.set("test-engine", False, "away")
    assert value() == 0
