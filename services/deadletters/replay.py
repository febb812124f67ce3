"""Sends repaired events to the purchases topic, with the producer's partition key."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from aiokafka import AIOKafkaProducer

from services.common.event_rules import EventRules
from services.common.kafka import producer_options
from services.deadletters.repair import RepairSummary, StillInvalid, ValidEvent, validate
from services.deadletters.settings import DeadLettersSettings

_IN_FLIGHT = 1000

T = TypeVar("T")


def read_events(file: Path, now_ms: int, rules: EventRules) -> Iterator[tuple[int, ValidEvent | StillInvalid]]:
    """Line number and verdict of every event of a file of JSON lines; blank lines are none. Raises OSError."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if value := line.strip():
                yield number, validate(value, now_ms, rules)


def check_events(file: Path, now_ms: int, rules: EventRules) -> RepairSummary:
    """What sending a file would do. Raises OSError."""
    summary = RepairSummary()
    for number, event in read_events(file, now_ms, rules):
        match event:
            case ValidEvent(_, purchase):
                summary.accepted += 1
                summary.worth += purchase.revenue
            case StillInvalid(reason, detail):
                summary.refuse(f"{file.name} line {number}", reason, detail)
    return summary


async def send_events(
    events: Iterable[ValidEvent], settings: DeadLettersSettings, progress: Callable[[int], object]
) -> int:
    """Send events and return how many the broker acknowledged: all of them. Raises KafkaError.

    Sending stopped half-way may be repeated from the start: what went before counts nothing then.
    """
    sent = 0
    async with AIOKafkaProducer(**producer_options(settings)) as producer:
        for batch in _batches(events, _IN_FLIGHT):
            in_flight = [
                await producer.send(settings.purchases_topic, event.value, key=event.purchase.partition_key.encode())
                for event in batch
            ]
            for acknowledgement in in_flight:
                await acknowledgement
            sent += len(batch)
            progress(len(batch))
    return sent


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
