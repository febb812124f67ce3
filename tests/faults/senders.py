"""Other senders than the producer of a trial: tills and shops that write to `purchases` themselves.

What they send and what of it counts is pure; `send` and `Till` talk to Kafka.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from re import fullmatch
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.common.kafka import stop_producer
from tests.support.shop import BAD_TIME, SEED_COLUMNS, Row, whole_rows

OTHER_SEEDS = 5_000_000
"""Above the seeds of trials: orders of their own."""
COLUMNS = [*SEED_COLUMNS, "quantity"]
REACHABLE_WITHIN_S = 90
STOPS_WITHIN_S = 10
_TIME = "%Y-%m-%d %H:%M:%S UTC"


class Message(NamedTuple):
    """A record to send; without a key it may go to any partition."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def sales(seed: int, count: int) -> list[Row]:
    """At least `count` valid rows below COLUMNS, each other than the rest, whole orders that nobody else sends."""
    rows = whole_rows(OTHER_SEEDS + seed, count)
    return [[*row, "1"] for row in dict.fromkeys(map(tuple, rows)) if row[0] != BAD_TIME]


def message(row: Row, event_id: str, *, keyed: bool = True) -> Message:
    """A row as an event."""
    fields = dict(zip(COLUMNS, row, strict=True)) | {"event_id": event_id}
    key = fields["user_id"] or fields["order_id"]
    return Message(json.dumps(fields, ensure_ascii=False).encode(), key.encode() if keyed else None)


def by_order(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows order by order."""
    return [list(lines) for _order, lines in groupby(rows, key=lambda row: row[1])]


# --- lines under odd ids, from two senders at once ---


def odd_lines(seed: int, count: int) -> tuple[list[Row], list[Message]]:
    """Lines under ids that others have, that do not rise, or that look like rows of a file, and what counts of them.

    Some lines are returned under their own id.
    """
    chance = random.Random(seed)
    rows: list[Row] = []
    messages: list[Message] = []
    for lines in by_order(sales(seed, count)):
        style = chance.choice(_STYLES)
        for number, row in reversed(list(enumerate(lines, 1))):
            event_id = style(row, number)
            returned = [[*row[:-1], "-1"]] if chance.random() < 0.1 else []
            for each in (row, *returned):
                rows.append(each)
                messages.append(message(each, event_id, keyed=chance.random() < 0.5))
    return rows, messages


_STYLES: tuple[Callable[[Row, int], str], ...] = (
    lambda row, number: f"{row[1]}:{number}",
    lambda row, _number: row[0].replace(" UTC", "").replace(" ", "T"),
    lambda _row, _number: "orders.csv:999999999999999",
    lambda _row, number: f"{number}",
    lambda _row, number: "9" * 100 + f":{number}",
    lambda row, _number: f"ключ {row[2]}",
)


# --- poisoned records among valid ones ---


def poisoned(seed: int, count: int) -> tuple[list[Row], list[Message], int]:
    """Valid rows, all messages, and how many of these are dead letters; one is poisoned in every few.

    Together they have a poisoned record in each position that a batch of any size may have.
    """
    chance = random.Random(seed)
    rows = sales(seed, count)
    messages: list[Message] = []
    poison = 0
    for number, row in enumerate(rows):
        if chance.random() < 0.3:
            messages.append(Message(chance.choice(_POISON), b"poison"))
            poison += 1
        messages.append(message(row, f"{number}"))
    return rows, messages, poison


_EVENT = (
    '{"event_id":"1","event_time":"2020-04-24T11:50:39Z","order_id":"poison","product_id":"p","price":"1.00",'
    '"user_id":"u"'
)
_POISON: tuple[bytes | None, ...] = (
    None,
    b"",
    b"\xff\xfe\x00",
    b"{",
    b"null",
    b"[" * 50_000,
    b'{"a":' * 5_000,
    b'{"order_id":' + b"9" * 70_000 + b"}",
    _EVENT.replace('"1.00"', "1e400").encode() + b"}",
    f'{_EVENT},"amount":"99999999999999999999.00"}}'.encode(),
    f'{_EVENT},"quantity":9007199254740993}}'.encode(),
    f'{_EVENT},"brand":"\\ud800"}}'.encode(),
    f'{_EVENT},"category_code":"{".".join("a" * 60)}"}}'.encode(),
    _EVENT.replace("2020-04-24T11:50:39Z", "9999-99-99T99:99:99Z").encode() + b"}",
    _EVENT.replace('"poison"', '"1.51592E+18"').encode() + b"}",
)
POISONED_LETTER = Message(
    b"x",
    None,
    (("reason", b"bad_row"), ("source-file", b"orders.csv"), ("source-row", b"9" * 20), ("service", b"producer")),
)
"""A dead letter whose row is no number that a file has: one of its own."""


# --- exports that overlap ---


def sold(rows: Iterable[Row], now: datetime) -> list[list[Row]]:
    """The orders of a trial's file that have no row which is refused."""
    return [lines for lines in by_order(list(rows)) if all(_is_sale(row, now) for row in lines)]


def _is_sale(row: Row, now: datetime) -> bool:
    price = row[{6: 4, 8: 6}.get(len(row), 0)]
    at = datetime.strptime(row[0], _TIME).replace(tzinfo=UTC)
    return at.year >= 2000 and at < now + timedelta(hours=23) and fullmatch(r"\d+\.\d\d", price) is not None


# --- Kafka ---


async def send(bootstrap: str, topic: str, streams: Sequence[Sequence[Message]]) -> None:
    """Send each stream by a producer of its own, all at once. Raises KafkaError."""
    await asyncio.gather(*(_send_stream(bootstrap, topic, stream) for stream in streams))


async def _send_stream(bootstrap: str, topic: str, messages: Sequence[Message]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, linger_ms=2)
    await _started(producer)
    try:
        for number, (value, key, headers) in enumerate(messages):
            await producer.send(topic, value, key=key, headers=list(headers))
            if number % 50 == 49:
                await asyncio.sleep(0.1)
        await producer.flush()
    finally:
        await stop_producer(producer, STOPS_WITHIN_S)


async def _started(producer: AIOKafkaProducer) -> None:
    """Start it; waits for a broker that is away. Raises KafkaError."""
    deadline = time.monotonic() + REACHABLE_WITHIN_S
    while True:
        try:
            await producer.start()
            return
        except KafkaError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.5)


class Till:
    """A sender that writes in transactions. Where the broker dies meanwhile, it begins anew."""

    def __init__(self, bootstrap: str, topic: str, name: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._name = name

    async def abort(self, messages: Sequence[Message]) -> None:
        """Send all in a transaction, and abort it."""

        async def work(producer: AIOKafkaProducer) -> None:
            await self._write(producer, messages)
            await producer.abort_transaction()

        await self._until_done(work)

    async def leave_open(self, messages: Sequence[Message]) -> None:
        """Send all in a transaction, and go away. The next transaction of this name has it aborted."""
        await self._until_done(lambda producer: self._write(producer, messages))

    async def commit(self, messages: Sequence[Message]) -> None:
        """Send all in a transaction, and commit it. It is repeated where nobody knows whether that succeeded."""

        async def work(producer: AIOKafkaProducer) -> None:
            await self._write(producer, messages)
            await producer.commit_transaction()

        await self._until_done(work)

    async def _write(self, producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
        await producer.begin_transaction()
        for value, key, headers in messages:
            await producer.send(self._topic, value, key=key, headers=list(headers))
        await producer.flush()

    async def _until_done(self, work: Callable[[AIOKafkaProducer], Awaitable[None]]) -> None:
        deadline = time.monotonic() + REACHABLE_WITHIN_S
        while True:
            producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, transactional_id=self._name)
            try:
                async with asyncio.timeout(REACHABLE_WITHIN_S):
                    await _started(producer)
                    await work(producer)
                    return
            except (KafkaError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
            finally:
                await stop_producer(producer, STOPS_WITHIN_S)
