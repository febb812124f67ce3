"""Orders that changed between two exports: their lines as the purchases topic has them. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.events import Purchase, parse
from services.common.line_identity import LineVerdict, OrderLines, line_tokens


class Record(Protocol):
    """What is used of a Kafka record. `timestamp` is the broker's, epoch milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


class Partition(Protocol):
    """What is used of a partition's name."""

    @property
    def partition(self) -> int: ...


class Place(NamedTuple):
    """A record's place; places sort by arrival."""

    timestamp: int
    partition: int
    offset: int


class LineState(StrEnum):
    """A line of an order that changed, compared with the newest export."""

    UNCHANGED = "="
    GONE = "-"
    NEW = "+"


class OrderLine(NamedTuple):
    """One line and its state; `place` is that of its first record."""

    state: LineState
    place: Place
    purchase: Purchase


@dataclass(slots=True)
class ChangedOrder:
    """An order and its lines, in the order of arrival."""

    order_id: str
    lines: list[OrderLine] = field(default_factory=list)


class _OrderOf(msgspec.Struct, gc=False):
    order_id: str | None = None


_decode = msgspec.json.Decoder(_OrderOf).decode


class OrderLog:
    """Collects the records of some orders."""

    def __init__(self, order_ids: Iterable[str], rules: EventRules = DEFAULT_RULES) -> None:
        self._rules = rules
        self._found: dict[str, list[tuple[Place, Purchase]]] = {order_id: [] for order_id in order_ids}

    def add(self, record: tuple[Partition, Record]) -> None:
        """Note a record of the purchases topic, if it is a valid line of one of the orders."""
        partition, content = record
        try:
            order_id = _decode(content.value or b"").order_id
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if order_id not in self._found:
            return
        purchase = parse(content.value, content.timestamp, self._rules)
        if isinstance(purchase, Purchase):
            place = Place(content.timestamp, partition.partition, content.offset)
            self._found[purchase.order_id].append((place, purchase))

    def orders(self) -> Iterator[ChangedOrder]:
        """The orders that have a line which did not count, by order id."""
        for order_id, lines in sorted(self._found.items()):
            changed = _changed(order_id, sorted(lines, key=lambda line: line[0]))
            if any(line.state is LineState.NEW for line in changed.lines):
                yield changed


def _changed(order_id: str, lines: list[tuple[Place, Purchase]]) -> ChangedOrder:
    exports = _Exports()
    order = OrderLines()
    counted: list[tuple[Place, Purchase]] = []
    refused: dict[bytes, tuple[Place, Purchase]] = {}
    for place, purchase in lines:
        tokens = line_tokens(purchase)
        exports.add(tokens, purchase.order_digest)
        verdict = order.add(tokens, purchase.order_digest)
        if verdict is LineVerdict.COUNTS:
            counted.append((place, purchase))
            for token in tokens:
                refused.pop(token, None)
        elif verdict is LineVerdict.ORDER_CHANGED:
            refused.setdefault(tokens[0], (place, purchase))
    known = [OrderLine(exports.state(line_tokens(purchase)), place, purchase) for place, purchase in counted]
    new = [OrderLine(LineState.NEW, *line) for token, line in refused.items() if token in exports.newest]
    return ChangedOrder(order_id, known + new)


class _Exports:
    """The lines of an order in each export, by the order's digest there."""

    def __init__(self) -> None:
        self._lines: dict[str, set[bytes]] = {}
        self.newest: set[bytes] = set()

    def add(self, tokens: tuple[bytes, ...], digest: str | None) -> None:
        if digest is not None:
            self.newest = self._lines.setdefault(digest, set())
            self.newest.update(tokens)

    def state(self, tokens: tuple[bytes, ...]) -> LineState:
        """The state of a line that counted; one that no export has was not sent by an export."""
        exported = any(not lines.isdisjoint(tokens) for lines in self._lines.values())
        return LineState.GONE if exported and self.newest.isdisjoint(tokens) else LineState.UNCHANGED
