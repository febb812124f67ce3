"""A table of order lines changes at random while Debezium's connector and `changes` run, and both are killed at times:
`python -m bench.debezium [--changes N] [--kills N]`.

At the end, what the distinct lines of topic `purchases` add up to is compared with what the table holds. Needs
PostgreSQL (`apt-get install postgresql`) and Maven, which gets Kafka Connect and Debezium's connector once.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from aiokafka import TopicPartition

from bench.debezium.servers import Connect, Postgres, connect_jars
from bench.machine import machine, table
from local.engines.kafka import KafkaEngine
from local.layout import STATE
from local.ports import free_ports
from services.common.events import Purchase, parse
from services.common.kafka import make_consumer
from services.common.settings import KafkaSettings
from services.common.topics import DEAD_LETTERS, PURCHASES
from services.producer.layouts.mapping import Mapping, write_mapping
from services.provision.topics import create

_TOPIC = "shop.public.order_lines"
_WAIT_S = 180
_SNAPSHOT_KEPT_S = 5  # until the connector has noted that its snapshot is done: docs/debezium.md names the limit
_SCHEMA = """
CREATE TABLE order_lines (line_id bigint PRIMARY KEY, order_id text NOT NULL, customer_id text, sku text NOT NULL,
  quantity int NOT NULL, price numeric(10, 2) NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL);
ALTER TABLE order_lines REPLICA IDENTITY FULL;
"""
_MAPPING = Mapping(
    layout="generic",
    columns={
        "event_time": ["created_at"],
        "order_id": ["order_id"],
        "product_id": ["sku"],
        "price": ["price"],
        "quantity": ["quantity"],
        "user_id": ["customer_id"],
    },
    skip={"status": ["pending", "cancelled"]},
)
_HELD = """SELECT sku, sum(quantity), sum(quantity * price) FROM order_lines
WHERE status NOT IN ('pending', 'cancelled') GROUP BY sku ORDER BY sku"""

Figures = dict[str, tuple[int, int]]
"""Product → pieces, cents."""


def main(arguments: list[str] | None = None) -> int:
    """Run as the command line says; 1 where the figures differ."""
    parser = argparse.ArgumentParser(prog="python -m bench.debezium", description="A database's changes, to the cent.")
    parser.add_argument("--changes", type=int, default=2000, help="statements on the table")
    parser.add_argument("--kills", type=int, default=3, help="of the connector and of `changes` each")
    options = parser.parse_args(arguments)
    STATE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=STATE) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as a user of its own
        return _run(Path(folder), options.changes, options.kills)


def _run(folder: Path, changes: int, kills: int) -> int:
    ports = free_ports(3)
    kafka = KafkaEngine(folder / "kafka", folder / "kafka.log", ports[0])
    settings = KafkaSettings(kafka_bootstrap=kafka.address)
    kafka.start()
    try:
        kafka.wait_ready()
        asyncio.run(create(settings, [PURCHASES, DEAD_LETTERS]))
        with Postgres(folder / "postgres", ports[1]).running() as postgres:
            postgres.sql(_SCHEMA + _statements(changes // 4, random.Random(1)))
            connect = Connect(folder / "connect", connect_jars(), kafka.address, ports[2], postgres)
            try:
                return _measure(folder, settings, postgres, connect, changes, kills)
            finally:
                connect.kill()
    finally:
        kafka.stop()


def _measure(
    folder: Path, settings: KafkaSettings, postgres: Postgres, connect: Connect, changes: int, kills: int
) -> int:
    mapping = folder / "shop.mapping.toml"
    write_mapping(_MAPPING, mapping, "order_lines")
    follower = Follower(settings, mapping)
    connect.start()
    _wait_for_topic(settings)
    time.sleep(_SNAPSHOT_KEPT_S)
    chance = random.Random(2)
    begun = time.monotonic()
    for part in range(kills + 1):
        follower.start()
        postgres.sql(_statements(changes // (kills + 1), chance))
        if part < kills:
            connect.kill()
            follower.kill()
            connect.start()
    held, records = _held(postgres), 0
    counted: Figures = {}
    while counted != held and time.monotonic() - begun < _WAIT_S:
        time.sleep(1)
        counted, records = asyncio.run(_counted(settings))
    follower.kill()
    rows: list[Sequence[str]] = [("product", "pieces held", "counted", "cents held", "counted")]
    for sku in sorted({*held, *counted}):
        of_table, of_lines = held.get(sku, (0, 0)), counted.get(sku, (0, 0))
        rows.append((sku, *(f"{value:,}" for pair in zip(of_table, of_lines, strict=True) for value in pair)))
    took = time.monotonic() - begun
    print(f"{changes:,} statements, {kills} kills of each, {records:,} lines in {took:.0f} s, on {machine()}")
    print(table(rows))
    return 0 if counted == held else 1


class Follower:
    """`python -m services.producer changes`."""

    def __init__(self, settings: KafkaSettings, mapping: Path) -> None:
        self._environment = os.environ | {"TILLSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap}
        options = ["changes", "--topic", _TOPIC, "--mapping", str(mapping)]
        self._command = [sys.executable, "-m", "services.producer", *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it goes on where it was."""
        self._process = subprocess.Popen(self._command, env=self._environment)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def _statements(count: int, chance: random.Random) -> str:
    """Random changes of random rows: sold, changed, paid, cancelled, deleted, some of them rolled back."""
    lines = []
    for _ in range(count):
        line = chance.randrange(500)
        sku, quantity, cents = f"P{chance.randrange(5)}", chance.randint(-2, 5), chance.randrange(1, 100_000)
        status = chance.choice(["paid", "paid", "pending", "cancelled"])
        statement = chance.choice(
            [
                f"INSERT INTO order_lines VALUES ({line}, 'A-{line // 3}', '{line % 40}', '{sku}', {quantity}, "
                f"{cents / 100:.2f}, '{status}', '2026-03-13 10:00:00+00') ON CONFLICT (line_id) DO UPDATE SET "
                f"quantity = {quantity}, price = {cents / 100:.2f};",
                f"UPDATE order_lines SET status = '{status}' WHERE line_id = {line};",
                f"UPDATE order_lines SET sku = '{sku}', quantity = {quantity} WHERE order_id = 'A-{line // 3}';",
                f"DELETE FROM order_lines WHERE line_id = {line};",
            ]
        )
        lines.append(statement if chance.random() > 0.1 else f"BEGIN; {statement} ROLLBACK;")
    return "\n".join(lines)


def _held(postgres: Postgres) -> Figures:
    rows = [row.split("|") for row in postgres.sql(_HELD).splitlines()]
    return {sku: (int(pieces), int(revenue.replace(".", ""))) for sku, pieces, revenue in rows}


def _wait_for_topic(settings: KafkaSettings) -> None:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if asyncio.run(_has_records(settings)):
            return
        time.sleep(1)
    raise SystemExit(f"the connector wrote nothing to {_TOPIC} within {_WAIT_S} s")


async def _has_records(settings: KafkaSettings) -> bool:
    consumer = make_consumer(settings)
    await consumer.start()
    try:
        if _TOPIC not in await consumer.topics():
            return False
        partition = TopicPartition(_TOPIC, 0)
        return bool((await consumer.end_offsets([partition]))[partition])
    finally:
        await consumer.stop()


async def _counted(settings: KafkaSettings) -> tuple[Figures, int]:
    """What the distinct lines add up to, without products that have come to nothing; and the number of records."""
    consumer = make_consumer(settings)
    await consumer.start()
    seen: dict[tuple[str, str | None], Purchase] = {}
    records = 0
    try:
        partitions = [TopicPartition(PURCHASES.name, number) for number in range(PURCHASES.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for found in (await consumer.getmany(timeout_ms=500)).values():
                for record in found:
                    records += 1
                    line = parse(record.value, record.timestamp)
                    if isinstance(line, Purchase):
                        seen.setdefault((line.order_id, line.event_id), line)
    finally:
        await consumer.stop()
    figures: Figures = {}
    for line in seen.values():
        pieces, cents = figures.get(line.product_id, (0, 0))
        figures[line.product_id] = pieces + line.quantity, cents + line.revenue
    return {sku: figure for sku, figure in figures.items() if figure != (0, 0)}, records


if __name__ == "__main__":
    sys.exit(main())
