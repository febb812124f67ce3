"""A whole stack with a made-up shop: what it was fed, what it answers, and whether every figure is exact."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from local.http import get_json
from local.layout import REPOSITORY, Layout
from local.process import Process, spawn
from local.producer_run import ProducerRun
from local.settings import StackSettings, free_port_settings
from local.stack import Stack
from local.steps import run_in_foreground, send, wait_settled
from local.verify import main
from services.common.kafka import partitions_of
from services.common.object_store import ObjectStore
from tests.support.archive import as_archived
from tests.support.shop import SEED_COLUMNS, Row, bare_message, write_csv

Place = tuple[int, int]
"""Partition and offset."""


PREFERENCES = {
    "TILLSTREAM_ARCHIVE_OBJECT_AGE_S": "1",
    "TILLSTREAM_ALS_RANK": "8",
    "TILLSTREAM_ALS_ITERATIONS": "5",
    "TILLSTREAM_GATE_QUESTIONS": "1000000",  # too little to evaluate: that takes time and is tested elsewhere
    "TILLSTREAM_KAFKA_METADATA_SECONDS": "2",
}


class LiveShop:
    """A running stack and the files that describe all it was fed, in the order of feeding."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self._sent: set[tuple[str, ...]] = set()
        ports = {name.removeprefix("TILLSTREAM_").lower(): port for name, port in free_port_settings().items()}
        settings = StackSettings.model_validate({**ports, "scrape_seconds": 1})
        self.stack = Stack(Layout(folder / "stack"), settings, die_with_parent=True, preferences=PREFERENCES)

    @property
    def url(self) -> str:
        """The address of page and REST API."""
        return self.stack.settings.page

    @property
    def settings(self) -> StackSettings:
        """Where everything is."""
        return self.stack.settings

    @property
    def history(self) -> list[Path]:
        """The files that the model and the batch report were made from."""
        return self.files[:2]

    def replay(self, rows: Iterable[Row], columns: Sequence[str] = SEED_COLUMNS, rate: str = "max") -> Path:
        """Send rows by the producer; returns their file once all is applied and archived."""
        run = self.prepare(rows, columns, rate)
        send(self.stack, run)
        wait_settled(self.stack)
        return run.file

    def prepare(self, rows: Iterable[Row], columns: Sequence[str] = SEED_COLUMNS, rate: str = "max") -> ProducerRun:
        """A file of the shop with a name and rows of its own, and the producer's orders to send it.

        A row of two files counts once, and the reference, which counts the files, would not know: see `send_again`.
        """
        rows = [*rows]
        own = {tuple(row) for row in rows}
        assert not own & self._sent, "another file has these rows: choose another seed"
        self._sent |= own
        return ProducerRun(self._new_file(rows, columns), rate)

    def resume(self, run: ProducerRun, *, from_start: bool = False) -> None:
        """Send the rest of a file at full speed, or all of it again; returns once all is applied and archived."""
        options = ["--restart"] if from_start else []
        program = replace(run, rate="max").program(self.settings, self.stack.layout, self.stack.environment, None)
        run_in_foreground(self.stack, replace(program, argv=[*program.argv, *options]))
        wait_settled(self.stack)

    def send_again(self, name: str, rows: Iterable[Row], columns: Sequence[str]) -> None:
        """Send rows that the shop has, as a file of another name; returns once all is applied and archived."""
        send(self.stack, ProducerRun(write_csv(self.folder / name, rows, columns), "max"))
        wait_settled(self.stack)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a Python module with its arguments next to the stack, as a person would."""
        environment = os.environ | self.stack.environment | {"PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, check=False, capture_output=True, text=True)

    def start_producer(self, run: ProducerRun) -> Process:
        """A producer that runs while the test goes on."""
        log = self.stack.layout.log("producer")
        return spawn(run.program(self.settings, self.stack.layout, self.stack.environment, log), die_with_parent=True)

    def send_bare(self, rows: list[Row], absent: str | None) -> Path:
        """Send eight-field messages without key and event_id, as producers in the wild do; see `bare_message`."""
        file = self._new_file(rows, SEED_COLUMNS)
        asyncio.run(self._send_values([bare_message(row, absent) for row in rows]))
        wait_settled(self.stack)
        return file

    def send_no_purchases(self, values: Sequence[bytes | None]) -> None:
        """Send record values that are not purchases. The reference counts as many broken rows of a file."""
        self._new_file([["no purchase"]] * len(values), SEED_COLUMNS)
        asyncio.run(self._send_values(values))
        wait_settled(self.stack)

    def describe(self, rows: Iterable[Row]) -> None:
        """Note purchases that were made some other way, as the rows that they amount to."""
        self._new_file(rows, SEED_COLUMNS)

    def _new_file(self, rows: Iterable[Row], columns: Sequence[str]) -> Path:
        file = write_csv(self.folder / f"part-{len(self.files)}.csv", rows, columns)
        self.files.append(file)
        return file

    async def _send_values(self, values: Sequence[bytes | None]) -> None:
        """Send record values as they are, without a key where that is possible: to any partition."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap, acks="all")
        await producer.start()
        try:
            topic = self.settings.purchases_topic
            sent = [await producer.send(topic, value, key=b"" if value is None else None) for value in values]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    def kill(self, name: str) -> None:
        """End a service as a crash does."""
        process = self.stack.process(name)
        assert process is not None
        process.kill()

    def restart(self, name: str) -> None:
        """Start a service that has ended, and wait until it is ready."""
        self.stack.stop([name])
        self.stack.start()

    def get(self, path: str) -> Any:
        """The JSON that the gateway answers."""
        return get_json(f"{self.url}{path}")

    def store(self) -> ObjectStore:
        """The bucket; the caller closes it."""
        return ObjectStore(self.stack.s3)


def assert_exact(shop: LiveShop) -> None:
    """Every live figure equals the one computed from the files, to the cent."""
    files = [argument for file in shop.files for argument in ("--csv", str(file))]
    assert main([*files, "--gateway", shop.url, "--wait", "60", "--no-report"]) == 0


def assert_archive_exact(shop: LiveShop) -> None:
    """Each record of the topic is archived once, with its value and the broker's time."""
    archived = list(archive_lines(shop))
    places = [(line["partition"], line["offset"]) for line in archived]
    assert len(places) == len(set(places)), "a record is archived twice"
    topic = asyncio.run(topic_records(shop))
    assert set(places) == set(topic)
    for place, line in zip(places, archived, strict=True):
        timestamp, value = topic[place]
        assert line == {"partition": place[0], "offset": place[1], "timestamp": timestamp, **as_archived(value)}


def archive_lines(shop: LiveShop) -> Iterator[Any]:
    with closing(shop.store()) as store:
        for key, _size in store.list("raw/purchases/"):
            text = gzip.decompress(store.get(key)).decode()
            assert text.endswith("\n")
            yield from map(json.loads, text.splitlines())


def summary(shop: LiveShop) -> Any:
    return shop.get("/v1/stats/summary")


def figures(answer: Any) -> dict[str, Any]:
    return {name: answer[name] for name in ("revenue", "quantity", "orders", "buyers", "events", "dead_letters")}


async def topic_records(shop: LiveShop) -> dict[Place, tuple[int, bytes | None]]:
    """Broker time and value of every record that is in the topic now."""
    topic = shop.settings.purchases_topic
    consumer = AIOKafkaConsumer(bootstrap_servers=shop.settings.kafka_bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = await partitions_of(consumer, topic)
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: dict[Place, tuple[int, bytes | None]] = {}
        while len(found) < sum(ends.values()):
            for partition, records in (await consumer.getmany(timeout_ms=1_000)).items():
                found |= {(partition.partition, r.offset): (r.timestamp, r.value) for r in records}
        return found
    finally:
        await consumer.stop()
