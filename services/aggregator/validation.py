"""Validates records: accepted lines, and rejected records with the reason. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.aggregator.lines import AcceptedLine
from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.events import Purchase, Reason, Rejected, parse
from services.common.line_identity import line_tokens


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
    records: Iterable[Record], rules: EventRules = DEFAULT_RULES
) -> tuple[list[AcceptedLine], list[RejectedRecord]]:
    """Accepted lines and rejected records, each in offset order. Canaries are neither."""
    lines: list[AcceptedLine] = []
    rejected: list[RejectedRecord] = []
    for record in records:
        parsed = parse(record.value, record.timestamp, rules)
        if isinstance(parsed, Purchase):
            lines.append(AcceptedLine(record.offset, record.timestamp, parsed, line_tokens(parsed)))
        elif isinstance(parsed, Rejected):
            rejected.append(RejectedRecord(record, parsed))
    return lines, rejected


def changed_orders(records: Sequence[Record], lines: Iterable[AcceptedLine]) -> list[RejectedRecord]:
    """These lines of the records as dead letters: their order differs from what has counted of it."""
    by_offset = {record.offset: record for record in records}
    return [
        RejectedRecord(
            by_offset[line.offset],
            Rejected(
                Reason.ORDER_CHANGED,
                f"order {line.purchase.order_id} was counted from an export that has it otherwise: compare both, and "
                "correct the difference by hand",
            ),
        )
        for line in lines
    ]


def in_offset_order(rejected: Iterable[RejectedRecord]) -> list[RejectedRecord]:
    """Offsets of one source must rise: that is how a repeated dead letter is recognised."""
    return sorted(rejected, key=lambda each: each.record.offset)
