"""Purchase history of each customer: the model's purchases, and the stream's since then. NumPy only; bounded."""

import itertools
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.topk import Float64s, Int64s, Rows


@dataclass(frozen=True, slots=True)
class History:
    """Net purchases of a customer [n]: distinct rows, ascending; quantity > 0; time of the newest purchase."""

    rows: NDArray[np.int64]
    quantity: Float64s
    event_time_ms: Int64s

    def __len__(self) -> int:
        return len(self.rows)

    def newest(self, n: int) -> "History":
        """The `n` products bought last; of equal times those of the higher rows."""
        if len(self) <= n:
            return self
        kept = np.sort(np.argsort(self.event_time_ms, kind="stable")[-n:])
        return History(self.rows[kept], self.quantity[kept], self.event_time_ms[kept])


NOTHING = History(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


class PurchaseLine(NamedTuple):
    """One purchase line; `quantity` < 0: a return of products bought before the model's cut-off."""

    product: int
    quantity: int
    event_time_ms: int


@dataclass(frozen=True, slots=True)
class PastPurchases:
    """Net purchases at the model's cut-off, as compressed rows: user u owns `starts[u]:starts[u + 1]`."""

    users: dict[str, int]
    starts: Int64s  # [users + 1]
    rows: Rows
    quantity: Float64s
    event_time_ms: Int64s

    def of(self, customer: str) -> History:
        """The purchases of one customer; none for an unknown user."""
        user = self.users.get(customer)
        if user is None:
            return NOTHING
        return self.of_span(int(self.starts[user]), int(self.starts[user + 1]))

    def of_span(self, start: int, end: int) -> History:
        """The entries from `start` to `end` (exclusive), of one customer."""
        return History(self.rows[start:end].astype(np.int64), self.quantity[start:end], self.event_time_ms[start:end])


NO_PAST = PastPurchases({}, np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))

# The recent lines of a customer: the number of the last change, then for each line product, quantity, event time in
# epoch ms, by time. 24 bytes a line, where a tuple would take 130.
Lines = array  # of type code "q"
_FIELDS = 3
_FIRST = 1


class Histories:
    """The newest `lines` purchase lines of each customer who bought since the model's cut-off, on top of the past.

    Beyond `customers`, or `total` lines of all, the customer whose last purchase is oldest is forgotten.
    """

    def __init__(self, past: PastPurchases, lines: int, customers: int, total: int) -> None:
        self._past = past
        self._starts, self._rows = past.starts.data, past.rows.data  # the same numbers, reached in half the time
        self._past_ms = int(past.event_time_ms.max(initial=0))
        self._longest = _FIRST + lines * _FIELDS
        self._customers = customers
        self._total = total
        self._recent: OrderedDict[str, Lines[int]] = OrderedDict()
        self._changes = 0
        self.lines = 0
        self.forgotten = 0

    def __len__(self) -> int:
        """Customers with a remembered purchase since the model's cut-off."""
        return len(self._recent)

    def of(self, customer: str) -> History:
        """The net purchases of a customer."""
        past, recent = self._past.of(customer), self._recent.get(customer)
        return _net(past, recent) if recent and _count(recent) else past

    def changed(self, customer: str) -> int:
        """The number of the customer's last change; 0 without a change since the model's cut-off."""
        recent = self._recent.get(customer)
        return recent[0] if recent else 0

    def customers(self) -> list[str]:
        """Everybody with a history; some may be named twice."""
        return [*self._recent, *self._past.users]

    def forget(self, customer: str) -> None:
        """Remove all that is held of a customer, of the past too."""
        self._past.users.pop(customer, None)
        self.lines -= _count(self._recent.pop(customer, None))

    def quantity(self, customer: str, product: int) -> float:
        """Net quantity of a product: the past, plus purchases, less returns since."""
        start, end = self._span(customer)
        place = bisect_left(self._rows, product, start, end)
        before = float(self._past.quantity[place]) if place < end and self._rows[place] == product else 0.0
        recent = self._recent.get(customer)
        if not recent:
            return before
        products, quantity, _ = _columns(recent)
        of_it = products == product
        return before + float(quantity[of_it].sum()) if np.count_nonzero(of_it) else before

    def co_purchase_candidates(self, customer: str, product: int, n: int) -> list[int] | None:
        """The `n` products bought last, to pair with a new product; None where the customer has bought it already."""
        recent = self._recent.get(customer)
        start, end = self._span(customer)
        if end - start + _count(recent) > n:
            return self._newest_candidates(customer, product, n, start, end)
        held = dict(zip(self._past.rows[start:end].tolist(), self._past.quantity[start:end].tolist(), strict=True))
        if recent:
            for other, quantity in zip(recent[_FIRST::_FIELDS], recent[_FIRST + 1 :: _FIELDS], strict=True):
                held[other] = held.get(other, 0) + quantity
        return None if held.get(product, 0) > 0 else [other for other, quantity in held.items() if quantity > 0]

    def _newest_candidates(self, customer: str, product: int, n: int, start: int, end: int) -> list[int] | None:
        """For more than n products: combine only those that may be among the newest n."""
        if self.quantity(customer, product) > 0:
            return None
        recent, past = self._recent.get(customer), self._past.of_span(start, end)
        if not recent or not _count(recent):
            return _listed(past.newest(n).rows)
        if np.count_nonzero(_columns(recent)[1] < 0) == 0:
            return self._newest_of_lines(recent, n, past) or _newest_of_both(recent, n, past)
        changed = np.isin(past.rows, recent[_FIRST::_FIELDS])
        older = History(past.rows[~changed], past.quantity[~changed], past.event_time_ms[~changed]).newest(n)
        kept = np.sort(np.concatenate((np.flatnonzero(changed), np.searchsorted(past.rows, older.rows))))
        return _listed(
            _net(History(past.rows[kept], past.quantity[kept], past.event_time_ms[kept]), recent).newest(n).rows
        )

    def _newest_of_lines(self, lines: "Lines[int]", n: int, past: History) -> list[int] | None:
        """The n products bought last, ascending, from the newest lines alone, of which none is a return.

        None where these do not suffice, since not all of the n are in them.
        """
        bought_ms: dict[int, int] = {}
        oldest_ms = 0
        for product, event_time_ms in zip(lines[-_FIELDS::-_FIELDS], lines[:_FIRST:-_FIELDS], strict=True):
            if len(bought_ms) >= n and event_time_ms < oldest_ms:
                break
            if product not in bought_ms:
                bought_ms[product] = oldest_ms = event_time_ms
        if len(bought_ms) < n or (self._past_ms >= oldest_ms and len(past) and past.event_time_ms.max() >= oldest_ms):
            return None
        if len(bought_ms) > n:  # of equal times at the end those of the higher rows
            return sorted(sorted(bought_ms, key=lambda product: (bought_ms[product], product))[-n:])
        return sorted(bought_ms)

    def add(self, customer: str, product: int, quantity: int, event_time_ms: int) -> None:
        """Add a line; beyond the bounds drop the customer's oldest line (perhaps this one) or the idlest customer."""
        lines = self._recent.get(customer)
        if lines is None:
            lines = self._recent[customer] = array("q", (0,))
        else:
            self._recent.move_to_end(customer)
        _insert(lines, array("q", (product, quantity, event_time_ms)))
        self._changes += 1
        lines[0] = self._changes
        self.lines += 1
        if len(lines) > self._longest:
            del lines[_FIRST : _FIRST + _FIELDS]
            self.lines -= 1
        if len(self._recent) > self._customers or self.lines > self._total:
            _, forgotten = self._recent.popitem(last=False)
            self.lines -= _count(forgotten)
            self.forgotten += 1

    def apply_return(self, customer: str, product: int, quantity: int, event_time_ms: int) -> list[PurchaseLine]:
        """Return `quantity` of a product, the newest lines first; gives the lines that are undone completely.

        What the remembered lines do not cover is returned from the past. The past has one line for each product, of its
        last purchase: that one is undone when nothing is left.
        """
        lines, undone = list(_each(self._recent.get(customer))), list[PurchaseLine]()
        for place in range(len(lines) - 1, -1, -1):
            line = lines[place]
            if quantity and line.product == product and line.quantity > 0:
                taken = min(quantity, line.quantity)
                quantity -= taken
                lines[place] = line._replace(quantity=line.quantity - taken)
                if taken == line.quantity:
                    undone.append(lines.pop(place))
        if lines or undone:
            self._replace(customer, lines)
        return undone + (self._return_from_past(customer, product, quantity, event_time_ms) if quantity else [])

    def _return_from_past(self, customer: str, product: int, quantity: int, event_time_ms: int) -> list[PurchaseLine]:
        """Return a product of the past; gives its line where nothing is left."""
        past = self._past.of(customer)
        place = int(np.searchsorted(past.rows, product))
        if place == len(past) or past.rows[place] != product or self.quantity(customer, product) <= 0:
            return []
        # Behind the newest line: as one of the oldest it would be dropped soon, and the return undone.
        recent = self._recent.get(customer)
        newest_ms = recent[-1] if recent and _count(recent) else event_time_ms
        self.add(customer, product, -quantity, max(event_time_ms, newest_ms))
        if self.quantity(customer, product) > 0:
            return []
        return [PurchaseLine(product, int(past.quantity[place]), int(past.event_time_ms[place]))]

    def _span(self, customer: str) -> tuple[int, int]:
        """The span of the customer's entries in the past; empty for an unknown user."""
        user = self._past.users.get(customer)
        return (0, 0) if user is None else (self._starts[user], self._starts[user + 1])

    def _replace(self, customer: str, lines: list[PurchaseLine]) -> None:
        self._changes += 1
        kept = array("q", [self._changes, *itertools.chain.from_iterable(lines)])
        self.lines += _count(kept) - _count(self._recent[customer])
        self._recent[customer] = kept


def _insert(lines: "Lines[int]", line: "Lines[int]") -> None:
    """Insert a line by time, behind those of the same time: a till may send its sales late."""
    event_time_ms = line[-1]
    if len(lines) == _FIRST or event_time_ms >= lines[-1]:
        lines.extend(line)
    else:
        place = _FIRST + _FIELDS * bisect_right(lines[_FIRST + _FIELDS - 1 :: _FIELDS], event_time_ms)
        lines[place:place] = line


def _newest_of_both(lines: "Lines[int]", n: int, past: History) -> list[int]:
    """The n products bought last, ascending, from the past and the lines, of which none is a return."""
    bought_ms = dict(zip(lines[_FIRST::_FIELDS], lines[_FIRST + 2 :: _FIELDS], strict=True))  # by time: the newest stay
    # Of the past so many that n of them are not in the lines.
    newest = np.argsort(past.event_time_ms, kind="stable")[-n - len(bought_ms) :]
    for product, event_time_ms in zip(past.rows[newest].tolist(), past.event_time_ms[newest].tolist(), strict=True):
        bought_ms[product] = max(event_time_ms, bought_ms.get(product, event_time_ms))
    by_time = sorted(bought_ms, key=lambda product: (bought_ms[product], product))
    return sorted(by_time[-n:])


def _count(lines: "Lines[int] | None") -> int:
    return len(lines) // _FIELDS if lines else 0


def _each(lines: "Lines[int] | None") -> Iterator[PurchaseLine]:
    numbers = itertools.islice(lines or (), _FIRST, None)
    return map(PurchaseLine, numbers, numbers, numbers)


def _columns(lines: "Lines[int]") -> Int64s:
    """Products, quantities and times of the lines: [3, lines], a view that is invalid after the next change."""
    return np.frombuffer(lines, np.int64)[_FIRST:].reshape(-1, _FIELDS).T


def _listed(rows: NDArray[np.int64]) -> list[int]:
    listed: list[int] = rows.tolist()
    return listed


def _net(past: History, recent: "Lines[int]") -> History:
    """Net purchases of the past and the lines, by product."""
    products, quantity, times = _columns(recent)
    rows, places = np.unique(np.concatenate((past.rows, products)), return_inverse=True)
    changes = np.concatenate((past.quantity, quantity)).astype(np.float64)
    net = _sums(places, changes)
    newest = np.zeros(len(rows), np.int64)
    bought = changes > 0
    np.maximum.at(newest, places[bought], np.concatenate((past.event_time_ms, times))[bought])
    held = net > 0
    return History(rows[held], net[held], newest[held])


def _sums(places: NDArray[np.int64], values: Float64s) -> Float64s:
    sums = np.zeros(int(places.max()) + 1)
    np.add.at(sums, places, values)
    return sums
