"""Extreme events through Kafka, the aggregator and Redis: none makes a script refuse or the aggregator end.

What is shown: the process lives, its marks reach the end of the log within the time, and every event is in the totals,
to the cent, or is a dead letter that says why it cannot be.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import redis
from aiokafka import AIOKafkaProducer

from services.common.dead_letters import RecordOrigin, origin_of, reason_of
from services.common.events import Purchase, parse
from services.common.tables import shard_keys
from tests.fuzz.engines import Stand, aggregator_environment, is_applied, stand_of_its_own
from tests.fuzz.extremes import MAX_REVENUE_CENTS, RULES, extreme_events, largest_events
from tests.fuzz.invariants import Broken
from tests.support.live_tables import totals
from tests.support.polling import wait_until
from tests.support.producer import read_topic
from tests.support.producer import running as service

EVENTS_A_ROUND = 50_000
"""Tables grow with each distinct name: a round has tables of its own."""
_LARGEST = 100_000
_APPLIED_WITHIN_S = 600


def run_extremes(seed: int, count: int) -> str | None:
    """Rounds on engines of their own, the last one of nothing but the largest amounts; what is broken, if anything."""
    now_ms = time.time_ns() // 1_000_000
    for first in range(0, count, EVENTS_A_ROUND):
        size = min(EVENTS_A_ROUND, count - first)
        if broken := _round(f"from {first:,}", list(extreme_events(seed, first, size, now_ms))):
            return f"extreme events {first:,} to {first + size - 1:,} of seed {seed}: {broken}"
    return _round("the largest amounts", list(largest_events(_LARGEST, now_ms)))


def _round(name: str, values: Sequence[bytes]) -> str | None:
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tillstream-fuzz-") as folder,
            stand_of_its_own(Path(folder)) as stand,
        ):
            print(f"{name}: {apply_extremes(stand, values)}", flush=True)
    except (Broken, AssertionError, TimeoutError) as broken:
        return str(broken)
    return None


def apply_extremes(stand: Stand, values: Sequence[bytes]) -> str:
    """Send the events and wait until all are applied. A line that says what became of them; raises Broken."""
    begun = time.monotonic()
    environment = aggregator_environment(stand, max_line_amount=str(MAX_REVENUE_CENTS // 100))
    with service("services.aggregator", [], environment, stand.folder / "extremes.log") as aggregator:
        asyncio.run(_send(stand, values))
        with redis.Redis.from_url(stand.redis_url) as client:
            wait_until(
                lambda: is_applied(client, stand, len(values), 0, aggregator), "all is applied", _APPLIED_WITHIN_S
            )
            refused = _refused(stand)
            wait_until(
                lambda: is_applied(client, stand, len(values), len(refused), aggregator), "letters are counted", 60
            )
            _check(client, stand, refused)
    seconds = time.monotonic() - begun
    reasons = Counter(refused.values())
    return (
        f"{len(values):,} sent, {len(values) - len(refused):,} counted, dead letters {dict(reasons)}, {seconds:.0f} s"
    )


async def _send(stand: Stand, values: Sequence[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=stand.kafka, enable_idempotence=True, linger_ms=5) as producer:
        for number, value in enumerate(values):
            await producer.send(stand.topics.purchases, value, partition=number % 2)
        await producer.flush()


def _refused(stand: Stand) -> dict[RecordOrigin, str]:
    found: dict[RecordOrigin, str] = {}
    for letter in read_topic(stand.kafka, stand.topics.dead_letters):
        headers = list(letter.headers.items())
        origin = origin_of(headers)
        assert isinstance(origin, RecordOrigin)
        found[origin] = reason_of(headers)
    return found


def _check(client: redis.Redis, stand: Stand, refused: dict[RecordOrigin, str]) -> None:
    counted: list[Purchase] = []
    for record in read_topic(stand.kafka, stand.topics.purchases):
        if RecordOrigin(stand.topics.purchases, record.partition, record.offset) not in refused:
            verdict = parse(record.value, record.timestamp, RULES)
            assert isinstance(verdict, Purchase), verdict
            counted.append(verdict)
    for name, truth in (
        ("events", len(counted)),
        ("revenue", sum(line.revenue for line in counted)),
        ("quantity", sum(line.quantity for line in counted)),
        ("orders", len({line.order_id for line in counted})),
        ("buyers", len({line.user_id for line in counted if line.user_id is not None})),
    ):
        found = totals(client, 1, name)
        if found != truth:
            raise Broken(f"{name}: {found:,} in the tables, {truth:,} sent")
    (keys,) = shard_keys(1)
    if client.exists(keys("missing")):
        raise Broken("records were skipped")
