"""Faults at the edge: other senders, more partitions, a Redis that fails over, clocks that are wrong."""

import asyncio
import csv
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import redis

from local.engines import ValkeyEngine
from local.ports import LOOPBACK, free_port
from tests.faults import purchases_topic
from tests.faults.clocks import HOSTS
from tests.faults.fault_injection import FaultInjection
from tests.faults.senders import (
    COLUMNS,
    POISONED_LETTER,
    Message,
    Till,
    message,
    odd_lines,
    poisoned,
    sales,
    send,
    sold,
)
from tests.support.polling import wait_until
from tests.support.shop import Row, whole_rows, write_csv

LINES = 200
ENDS_WITHIN_S = 150
REPLICATED_WITHIN_S = 60
REPEATED_ORDERS = 60


class OtherSenders(FaultInjection):
    """Others than the producer write to the topic. What of it must count is one more file of the trial."""

    def must_count(self, rows: Sequence[Row], dead_letters: int = 0) -> None:
        """These rows, each once, and so many rejected records."""
        broken = [["", "", ""]] * dead_letters
        file = self.rig.layout.root / f"others-{len(self.rig.files)}.csv"
        self.rig.files.append(write_csv(file, [*rows, *broken], COLUMNS))

    def send(self, *streams: Sequence[Message], topic: str | None = None) -> None:
        """Send the streams, all at once."""
        settings = self.rig.settings
        asyncio.run(send(settings.kafka_bootstrap, topic or settings.purchases_topic, streams))

    @property
    def seed(self) -> int:
        """A seed for rows that nobody else sends."""
        return self.chance.randrange(10**6)


class AbortedTransactions(OtherSenders):
    """A till aborts a transaction, dies in another one, and sends the lines of that one again."""

    def inject(self) -> None:
        self._rows = sales(self.seed, LINES)
        settings = self.rig.settings
        self._till = Till(settings.kafka_bootstrap, settings.purchases_topic, "till")
        asyncio.run(self._till.abort(_numbered(sales(self.seed, LINES))))
        asyncio.run(self._till.leave_open(_numbered(self._rows)))

    def end(self) -> None:
        asyncio.run(self._till.commit(_numbered(self._rows)))
        self.must_count(self._rows)


def _numbered(rows: Sequence[Row]) -> list[Message]:
    return [message(row, str(number)) for number, row in enumerate(rows)]


class OddEventIds(OtherSenders):
    """Two senders send the same lines under ids that rise, fall and repeat, one of them backwards."""

    def inject(self) -> None:
        rows, messages = odd_lines(self.seed, LINES)
        again = [each._replace(key=None) for each in reversed(messages)]
        self.send(messages, again)
        self.must_count(rows)


class PoisonedRecords(OtherSenders):
    """Records that no reader can make sense of, in every position among good ones, and such a dead letter."""

    def inject(self) -> None:
        rows, messages, rejected = poisoned(self.seed, LINES)
        self.send(messages)
        self.send([POISONED_LETTER], topic=self.rig.settings.dead_letters_topic)
        self.must_count(rows, rejected + 1)


class OverlappingExports(OtherSenders):
    """An export with orders of earlier files and new ones, backwards, under a name of its own or an earlier one's."""

    def inject(self) -> None:
        now = datetime.now(UTC)
        earlier = [file for file in self.rig.files if file.name.startswith("trial-")]
        known = [order for file in earlier for order in sold(_rows_of(file), now)]
        repeated = self.chance.sample(known, min(len(known), REPEATED_ORDERS))
        new = whole_rows(self.chance.randrange(6_000_000, 7_000_000), LINES)
        rows = [*(row for order in repeated for row in order), *new]
        name = self.chance.choice([*(file.name for file in earlier[:-1]), "orders.csv"])
        folder = self.rig.layout.root / f"export-{len(self.rig.files)}"
        folder.mkdir()
        self.rig.feed(write_csv(folder / name, rows[::-1]), "producer-2")
        self.rig.files.append(write_csv(folder / "new.csv", new))
        self.notes.append(f"{len(repeated)} orders again in {name}")

    def end(self) -> None:
        if not self.rig.processes["producer-2"].wait(ENDS_WITHIN_S):
            raise TimeoutError(f"the second producer has not ended after {ENDS_WITHIN_S} s")
        self.rig.require_alive()
        del self.rig.processes["producer-2"]


def _rows_of(file: Path) -> list[Row]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.reader(text))[1:]


class MorePartitions(FaultInjection):
    """The topic gets more partitions while everything runs."""

    def inject(self) -> None:
        before, after = asyncio.run(purchases_topic.grow(self.rig.settings, self.chance.randint(1, 3)))
        self.notes.append(f"{before} partitions, then {after}")


class RedisFailsOver(FaultInjection):
    """A replica takes over and the primary becomes its replica; later the other way round.

    Connections to the primary stay open and answer READONLY. What it took last may be lost.
    """

    def inject(self) -> None:
        layout = self.rig.layout
        self._second = ValkeyEngine(
            layout.root / "valkey-2",
            layout.log("valkey-2"),
            free_port(),
            durable=False,
            password_file=layout.redis_password,
        )
        self.rig.processes["valkey-2"] = self._second.start()
        self._second.wait_ready()
        self._fail_over(self.rig.valkey.port, self._second.port)

    def end(self) -> None:
        self._fail_over(self._second.port, self.rig.valkey.port)
        self.rig.kill("valkey-2")
        with self._client(self.rig.valkey.port) as client:
            self.notes.append(f"{client.info('errorstats').get('errorstat_READONLY', 'no')} READONLY")

    def _client(self, port: int) -> redis.Redis:
        return redis.Redis(LOOPBACK, port, password=self.rig.valkey.password)

    def _fail_over(self, primary: int, replica: int) -> None:
        with self._client(primary) as old, self._client(replica) as new:
            old.config_set("repl-diskless-sync-delay", 0)
            new.replicaof(LOOPBACK, str(primary))
            wait_until(lambda: _follows(new), "the replica has everything", REPLICATED_WITHIN_S)
            time.sleep(self.chance.uniform(0, 1))
            new.replicaof("NO", "ONE")
            time.sleep(self.chance.choice([0.0, 0.2]))  # what the old primary takes now is lost
            self.rig.lead_to_redis(replica)
            old.replicaof(LOOPBACK, str(replica))


def _follows(replica: redis.Redis) -> bool:
    found = replica.info("replication")
    return bool(found["role"] == "slave" and found["master_link_status"] == "up")


class ClockSkew(FaultInjection):
    """The services' hosts have the time wrong, each by its own, while they run; then it is set right."""

    def inject(self) -> None:
        for host in HOSTS:
            off_s = self.chance.choice([-1, 1]) * self.chance.choice([0.5, 15, 600, 7200]) * self.chance.random()
            self.rig.clocks.set_off(host, off_s)
            self.notes.append(f"{host} {off_s:+.1f} s")

    def end(self) -> None:
        for host in HOSTS:
            self.rig.clocks.set_off(host, 0)
