"""Sending repaired events to the topic of the purchases, keyed as the producer keys them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from aiokafka import AIOKafkaProducer

from services.common.kafka import producer_options
from services.deadletters.repair import Accepted, Outcome, Refused, judge
from services.deadletters.settings import DeadLettersSettings

_IN_FLIGHT = 1000

T = TypeVar("T")


def read_events(file: Path, now_ms: int) -> Iterator[tuple[int, Accepted | Refused]]:
    """Line number and verdict of every event of a file of JSON lines; blank lines are none. Raises OSError."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if value := line.strip():
                yield number, judge(value, now_ms)


def check_events(file: Path, now_ms: int) -> Outcome:
    """What sending a file would do. Raises OSError."""
    outcome = Outcome()
    for number, event in read_events(file, now_ms):
        match event:
            case Accepted(_, purchase):
                outcome.accepted += 1
                outcome.worth += purchase.revenue
            case Refused(reason, detail):
                outcome.refuse(f"{file.name} line {number}", reason, detail)
    return outcome


async def send_events(
    events: Iterable[Accepted], settings: DeadLettersSettings, progress: Callable[[int], object]
) -> int:
    """Send events and return how many the broker acknowledged: all of them. Raises KafkaError.

    Sending stopped half-way may be repeated from the start: what went before counts nothing then.
    """
    sent = 0
    async with AIOKafkaProducer(**producer_options(settings)) as producer:
        for together in _portions(events, _IN_FLIGHT):
            on_their_way = [
                await producer.send(settings.purchases_topic, event.value, key=event.purchase.partition_key.encode())
                for event in together
            ]
            for acknowledgement in on_their_way:
                await acknowledgement
            sent += len(together)
            progress(len(together))
    return sent


def _portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    portion: list[T] = []
    for item in items:
        portion.append(item)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion
