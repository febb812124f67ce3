"""Validates records: accepted lines, and rejected records with the reason. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.aggregator.fold import AcceptedLine
from services.common.events import DEFAULT_NO_CUSTOMER, Rejected, parse


class Record(Protocol):
    """What is used of a Kafka record. `timestamp` is the broker's, epoch milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record for the dead-letter topic, and why it was rejected."""

    record: Record
    rejection: Rejected


def validate(
    records: Iterable[Record], no_customer: frozenset[str] = DEFAULT_NO_CUSTOMER
) -> tuple[list[AcceptedLine], list[RejectedRecord]]:
    """Accepted lines and rejected records, each in offset order."""
    lines: list[AcceptedLine] = []
    rejected: list[RejectedRecord] = []
    for record in records:
        parsed = parse(record.value, record.timestamp, no_customer)
        if isinstance(parsed, Rejected):
            rejected.append(RejectedRecord(record, parsed))
        else:
            lines.append(AcceptedLine(record.offset, record.timestamp, parsed))
    return lines, rejected
