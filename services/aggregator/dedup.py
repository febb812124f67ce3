"""Decides which lines count, and which dead letters. Pure: the caller reads what the tables know of the orders."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field

from services.aggregator.lines import AcceptedLine
from services.aggregator.order_counts import KnownOrder
from services.aggregator.validation import Record
from services.common.dead_letters import FileOrigin, Headers, origin_of, reason_of, row_token
from services.common.row_watermarks import RowWatermarks

MAX_SOURCES = 10_000
"""Sources of dead letters whose rows a partition keeps."""
MAX_ROWS = 50_000
"""Rejected rows of files that a partition keeps."""


@dataclass(slots=True)
class Verdicts:
    """Lines in offset order: those that count, repeats, and those whose order differs from what has counted."""

    counted: list[AcceptedLine] = field(default_factory=list)
    repeats: list[AcceptedLine] = field(default_factory=list)
    changed: list[AcceptedLine] = field(default_factory=list)


def judge(
    lines: Iterable[AcceptedLine],
    orders: Mapping[str, KnownOrder],
    settled: Callable[[AcceptedLine], bool | None] | None = None,
) -> Verdicts:
    """Decide line by line. Each order in `orders` becomes what it is with the lines that count.

    `settled`: whether a line counted that the shard of its order has behind it; None for every other line.
    """
    verdicts = Verdicts()
    for line in lines:
        order = orders[line.purchase.order_id]
        counted = settled(line) if settled is not None else None
        if counted is not None:
            (verdicts.counted if counted else verdicts.repeats).append(line)
        elif not order.tokens.isdisjoint(line.tokens):
            verdicts.repeats.append(line)
        elif _differs(order, line.purchase.order_digest):
            verdicts.changed.append(line)
        else:
            order.tokens.update(line.tokens)
            verdicts.counted.append(line)
    return verdicts


def _differs(order: KnownOrder, digest: str | None) -> bool:
    """Whether the order that has counted is another one; the first digest that counts is the order's."""
    if digest is None:
        return False
    wanted = bytes.fromhex(digest)
    if order.digest is None:
        order.digest = wanted
    return order.digest != wanted


@dataclass(slots=True)
class CountedDeadLetters:
    """Dead letters by reason, and what identifies them from now on.

    `rows`: source → highest row or offset. `file_rows`: tokens of rows of files.
    """

    reasons: Counter[str] = field(default_factory=Counter)
    rows: dict[str, int] = field(default_factory=dict)
    file_rows: set[str] = field(default_factory=set)


def count_dead_letters(
    records: Iterable[Record], rows: Mapping[str, int], file_rows: Container[str] = (), kept: int = 0
) -> CountedDeadLetters:
    """Count each rejected record and row once. `kept`: how many `file_rows` there are.

    A row of a file is known by its content (`row_token`): files of one name follow one another, and one file comes
    under several names. The records of a topic's partition are numbered, and their dead letters come in order and to
    one partition: one not above the highest is a repeat. A dead letter without a readable origin counts as one of its
    own, and so does what is beyond `MAX_SOURCES` and `MAX_ROWS`: that is not kept.
    """
    counted = CountedDeadLetters()
    watermarks = RowWatermarks(rows)
    sources = set(rows)
    for record in records:
        headers: Headers = list(record.headers)
        origin = origin_of(headers)
        if isinstance(origin, FileOrigin):
            token = row_token(origin, headers, record.value)
            if token in file_rows or token in counted.file_rows:
                continue
            if kept + len(counted.file_rows) < MAX_ROWS:
                counted.file_rows.add(token)
        elif origin is not None and (origin.source in sources or len(sources) < MAX_SOURCES):
            sources.add(origin.source)
            if not watermarks.advance(origin.source, origin.row):
                continue
        counted.reasons[reason_of(headers)] += 1
    counted.rows = watermarks.moved
    return counted
