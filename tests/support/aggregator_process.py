"""The aggregator as a process, a feed of purchases, and the figures that it must reach."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from local.ports import free_port
from services.common.events import Purchase, parse
from services.common.kafka import partitions_of
from services.common.tables import shard_keys
from tests.support.engines import TopicNames
from tests.support.http import NO_TLS
from tests.support.live_tables import expected, hash_of, held, totals
from tests.support.polling import eventually
from tests.support.records import encode, random_events

REPOSITORY = Path(__file__).parents[2]
PARTITIONS = 2


class AggregatorProcess:
    """One process, restarted at will."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = free_port()
        self._environment = {**os.environ, **environment, "TILLSTREAM_AGGREGATOR_METRICS_PORT": str(self.port)}
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "services.aggregator"]
            self._process = subprocess.Popen(command, cwd=REPOSITORY, env=self._environment, stderr=log)

    def send(self, signal_number: int) -> None:
        assert self._process is not None
        self._process.send_signal(signal_number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(120)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


class PurchaseFeed:
    """Sends events as producers in the wild do: no key, so that any partition may get any line."""

    def __init__(self, kafka: str, names: TopicNames, options: Mapping[str, Any] | None = None) -> None:
        """`options`: how its own clients reach the broker, where the address alone does not say it."""
        self.kafka, self._names = kafka, names
        self._given = options
        self.topic = names.purchases
        self.lines: list[Purchase] = []
        self.rejected = 0

    @property
    def _options(self) -> Mapping[str, Any]:
        return self._given or {"bootstrap_servers": self.kafka}

    async def send(self, seed: int, count: int, *, invalid: bool = True) -> None:
        async with AIOKafkaProducer(**self._options, enable_idempotence=True) as producer:
            for number, event in enumerate(random_events(seed, count)):
                # No identity: a repeat of an id may win in either partition, and these lines must all count.
                value = b"{" if invalid and number % 50 == 7 else encode(event | {"event_id": None})
                await producer.send(self._names.purchases, value)
                verdict = parse(value, 1_790_000_000_000)
                if isinstance(verdict, Purchase):
                    self.lines.append(verdict)
                else:
                    self.rejected += 1
            await producer.flush()

    async def ends(self) -> dict[str, int]:
        topics = (self._names.purchases, self._names.dead_letters)
        async with AIOKafkaConsumer(**self._options) as consumer:
            partitions = [partition for topic in topics for partition in await partitions_of(consumer, topic)]
            ends = await consumer.end_offsets(partitions)
        return {f"{partition.topic}/{partition.partition}": end for partition, end in ends.items() if end}


def marks(client: redis.Redis) -> dict[str, int]:
    (keys,) = shard_keys(1)
    found = hash_of(client, keys("marks"))
    return {name: int(mark) for name, mark in found.items() if not name.startswith("stamp:")}


async def until_assigned(aggregator: "AggregatorProcess", partitions: int) -> None:
    """Wait until the process says that it is ready with so many partitions, of both topics together."""

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(verify=NO_TLS, timeout=60) as http:
                answer = await http.get(f"http://127.0.0.1:{aggregator.port}/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and answer.json()["figures"]["partitions"] == partitions

    await eventually(ready, f"{partitions} partitions assigned")


async def assert_exact(client: redis.Redis, feed: PurchaseFeed) -> None:
    """Wait until all is applied, then compare. Dead letters come after their records, so ends are read again."""

    async def applied() -> bool:
        return marks(client) == await feed.ends() and totals(client, 1, "events") >= len(feed.lines)

    await eventually(applied, "all records applied")
    truth = expected(feed.lines)
    assert held(client, truth, 1) == truth
    assert totals(client, 1, "revenue") == sum(line.revenue for line in feed.lines)
    assert totals(client, 1, "events") == len(feed.lines)
    (keys,) = shard_keys(1)
    assert sum(map(int, hash_of(client, keys("dead_letters")).values())) == feed.rejected
