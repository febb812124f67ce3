"""Decides which lines count, and which dead letters. Pure: the caller reads what the tables know of the orders."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from services.aggregator.lines import AcceptedLine
from services.aggregator.order_counts import KnownOrder
from services.aggregator.validation import Record
from services.common.dead_letters import Headers, origin_of, reason_of
from services.common.row_watermarks import RowWatermarks

MAX_SOURCES = 10_000
"""Sources of dead letters whose rows a partition keeps."""


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


def count_dead_letters(records: Iterable[Record], rows: Mapping[str, int]) -> tuple[Counter[str], dict[str, int]]:
    """Dead letters by reason, each origin once, and the highest row of each source among them.

    A sender writes the dead letters of one source in order and to one partition, so a row not above the highest is a
    repeat. A dead letter without a readable origin counts as an origin of its own, and so does one of a source beyond
    `MAX_SOURCES`: their rows are not kept.
    """
    watermarks = RowWatermarks(rows)
    reasons: Counter[str] = Counter()
    sources = set(rows)
    for record in records:
        headers: Headers = list(record.headers)
        origin = origin_of(headers)
        if origin is not None and (origin.source in sources or len(sources) < MAX_SOURCES):
            sources.add(origin.source)
            if not watermarks.advance(origin.source, origin.row):
                continue
        reasons[reason_of(headers)] += 1
    return reasons, watermarks.moved
