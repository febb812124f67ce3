"""What the tests of producer and archiver share: services as processes, made-up rows, topic and archive read whole."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from services.common.object_store import ObjectStore
from services.common.settings import S3Settings

ROOT = Path(__file__).parents[2]
HEADER = "event_time,order_id,product_id,category_id,category_code,brand,price,user_id"


class TopicRecord(NamedTuple):
    """A record as it lies in the topic."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


class Running:
    """A service of ours as a process of its own; its output goes to a file."""

    def __init__(self, module: str, arguments: Iterable[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self.log_file = log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=self.log_file,
            stderr=self.log_file,
        )

    @property
    def output(self) -> str:
        """Everything it has said."""
        return self._log.read_text()

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 120) -> int:
        """The exit status."""
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """End it like a power cut."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def close(self) -> None:
        """Make sure that nothing is left of it."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()
        self.log_file.close()


@contextmanager
def running(module: str, arguments: Iterable[str], environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    """A service that is gone afterwards, however the test ends."""
    service = Running(module, arguments, environment, log)
    try:
        yield service
    finally:
        service.close()


def readiness(port: int) -> dict[str, Any]:
    """What /readyz says; an empty object where nobody listens yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer:
            body: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            body = json.load(error)
    except OSError:
        return {}
    return body


def row(number: int, anonymous: bool = False) -> str:
    """A valid row of the seed layout; two lines make an order, and each row can be told from every other."""
    user = "" if anonymous else f"15159156254{number % 97:08d}"
    minute, second = divmod(number // 2 % 3600, 60)
    order_id, product_id = 2294359932054536986 + number // 2, 1515966223509089906 + number
    return (
        f"2020-04-24 11:{minute:02d}:{second:02d} UTC,{order_id},{product_id},"
        f"2268105426648170900,electronics.tablet,samsung,{number % 500}.{number % 100:02d},{user}"
    )


def write_file(path: Path, rows: Iterable[str]) -> Path:
    """A file of the seed layout; packed where its name ends in .gz."""
    text = "\n".join([HEADER, *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read_topic(bootstrap: str, topic: str) -> list[TopicRecord]:
    """All records of a topic, by partition and offset."""
    return asyncio.run(_read_topic(bootstrap, topic))


async def _read_topic(bootstrap: str, topic: str) -> list[TopicRecord]:
    partitions = await _partitions(bootstrap, topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign(partitions)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(partitions)
        missing = sum(ends.values())  # no topic of the tests is old enough to have lost its beginning
        records: list[TopicRecord] = []
        while len(records) < missing:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records += [
                    TopicRecord(r.partition, r.offset, r.timestamp, r.key, r.value, dict(r.headers)) for r in batch
                ]
        return sorted(record for record in records if record.offset < ends[TopicPartition(topic, record.partition)])
    finally:
        await consumer.stop()


async def _partitions(bootstrap: str, topic: str) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (description,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return [TopicPartition(topic, partition["partition"]) for partition in description["partitions"]]


def send(bootstrap: str, topic: str, values: Iterable[bytes | None], partition: int | None = None) -> None:
    """Put raw values into a topic."""
    asyncio.run(_send(bootstrap, topic, values, partition))


async def _send(bootstrap: str, topic: str, values: Iterable[bytes | None], partition: int | None) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for number, value in enumerate(values):
            await producer.send(topic, value, key=str(number).encode(), partition=partition)


def committed(bootstrap: str, group: str, topic: str, partitions: int) -> dict[int, int]:
    """The group's committed offset by partition; 0 where there is none."""

    async def ask() -> dict[int, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            return {p: await consumer.committed(TopicPartition(topic, p)) or 0 for p in range(partitions)}
        finally:
            await consumer.stop()

    return asyncio.run(ask())


def archived_lines(settings: S3Settings) -> list[bytes]:
    """The lines of every object of the archive, in the order of the keys."""
    store = ObjectStore(settings)
    try:
        lines: list[bytes] = []
        for key, _size in store.list("raw/purchases/"):
            text = gzip.decompress(store.get(key))
            assert text.endswith(b"\n")
            lines += text[:-1].split(b"\n")
        return lines
    finally:
        store.close()
