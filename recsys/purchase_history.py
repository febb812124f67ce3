"""What each customer bought: the model's purchases, and the stream's since then. NumPy only; bounded."""

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
    """The products a customer holds [n]: distinct rows, ascending; net pieces > 0; time of the newest purchase."""

    rows: NDArray[np.int64]
    pieces: Float64s
    at_ms: Int64s

    def __len__(self) -> int:
        return len(self.rows)

    def newest(self, n: int) -> "History":
        """The `n` products bought last; of equal times those of the higher rows."""
        if len(self) <= n:
            return self
        kept = np.sort(np.argsort(self.at_ms, kind="stable")[-n:])
        return History(self.rows[kept], self.pieces[kept], self.at_ms[kept])


NOTHING = History(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


class Line(NamedTuple):
    """One purchase line; `pieces` < 0 returns some that were bought before the model's cut-off."""

    product: int
    pieces: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class PastPurchases:
    """What customers held at the model's cut-off, as compressed rows: user u owns `starts[u]:starts[u + 1]`."""

    users: dict[str, int]
    starts: Int64s  # [users + 1]
    rows: Rows
    pieces: Float64s
    at_ms: Int64s

    def of(self, customer: str) -> History:
        """What one customer held; nothing for a stranger."""
        user = self.users.get(customer)
        if user is None:
            return NOTHING
        return self.of_span(int(self.starts[user]), int(self.starts[user + 1]))

    def of_span(self, start: int, end: int) -> History:
        """The entries from `start` to `end` (exclusive), which are one customer's."""
        return History(self.rows[start:end].astype(np.int64), self.pieces[start:end], self.at_ms[start:end])


NO_PAST = PastPurchases({}, np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))

# What is remembered of a customer: the number of the last change, then line after line product, pieces, epoch ms, by
# time. 24 bytes a line, where a tuple would take 130.
Lines = array  # of type code "q"
_FIELDS = 3
_FIRST = 1


class Histories:
    """The newest `lines` purchase lines of each customer who bought since the model's cut-off, on top of the past.

    Beyond `customers`, or `total` lines of all, the customer who bought longest ago is forgotten.
    """

    def __init__(self, past: PastPurchases, lines: int, customers: int, total: int) -> None:
        self._past = past
        self._starts, self._rows = past.starts.data, past.rows.data  # the same numbers, reached in half the time
        self._past_ms = int(past.at_ms.max(initial=0))
        self._longest = _FIRST + lines * _FIELDS
        self._customers = customers
        self._total = total
        self._recent: OrderedDict[str, Lines[int]] = OrderedDict()
        self._changes = 0
        self.lines = 0
        self.forgotten = 0

    def __len__(self) -> int:
        """Customers with a purchase since the model's cut-off, as far as they are remembered."""
        return len(self._recent)

    def of(self, customer: str) -> History:
        """What the customer holds now."""
        past, recent = self._past.of(customer), self._recent.get(customer)
        return _net(past, recent) if recent and _count(recent) else past

    def changed(self, customer: str) -> int:
        """Which change of all was this customer's last one; 0 where the past alone is known."""
        recent = self._recent.get(customer)
        return recent[0] if recent else 0

    def pieces(self, customer: str, product: int) -> float:
        """Net pieces of a product: what the past has, and what was bought or returned since."""
        start, end = self._span(customer)
        place = bisect_left(self._rows, product, start, end)
        before = float(self._past.pieces[place]) if place < end and self._rows[place] == product else 0.0
        recent = self._recent.get(customer)
        if not recent:
            return before
        products, pieces, _ = _columns(recent)
        of_it = products == product
        return before + float(pieces[of_it].sum()) if np.count_nonzero(of_it) else before

    def beside(self, customer: str, product: int, n: int) -> list[int] | None:
        """The `n` products bought last by a customer who does not hold this one; None where it is held already."""
        recent = self._recent.get(customer)
        start, end = self._span(customer)
        if end - start + _count(recent) > n:
            return self._beside_many(customer, product, n, start, end)
        held = dict(zip(self._past.rows[start:end].tolist(), self._past.pieces[start:end].tolist(), strict=True))
        if recent:
            for other, pieces in zip(recent[_FIRST::_FIELDS], recent[_FIRST + 1 :: _FIELDS], strict=True):
                held[other] = held.get(other, 0) + pieces
        return None if held.get(product, 0) > 0 else [other for other, pieces in held.items() if pieces > 0]

    def _beside_many(self, customer: str, product: int, n: int, start: int, end: int) -> list[int] | None:
        """Where there are more than n, only those are put together that may be among the newest n."""
        if self.pieces(customer, product) > 0:
            return None
        recent, past = self._recent.get(customer), self._past.of_span(start, end)
        if not recent or not _count(recent):
            return _listed(past.newest(n).rows)
        if (newest := self._newest_of_lines(recent, n, past)) is not None:
            return newest
        changed = np.isin(past.rows, recent[_FIRST::_FIELDS])
        older = History(past.rows[~changed], past.pieces[~changed], past.at_ms[~changed]).newest(n)
        kept = np.sort(np.concatenate((np.flatnonzero(changed), np.searchsorted(past.rows, older.rows))))
        return _listed(_net(History(past.rows[kept], past.pieces[kept], past.at_ms[kept]), recent).newest(n).rows)

    def _newest_of_lines(self, lines: "Lines[int]", n: int, past: History) -> list[int] | None:
        """The n products bought last, ascending, told from the newest lines alone; None where more has to be looked at.

        That is where something was returned to the past, or the n are not all in the lines.
        """
        _, pieces, _ = _columns(lines)
        if np.count_nonzero(pieces < 0):
            return None
        bought_ms: dict[int, int] = {}
        oldest_ms = 0
        for product, at_ms in zip(lines[-_FIELDS::-_FIELDS], lines[:_FIRST:-_FIELDS], strict=True):
            if len(bought_ms) >= n and at_ms < oldest_ms:
                break
            if product not in bought_ms:
                bought_ms[product] = oldest_ms = at_ms
        if len(bought_ms) < n or (self._past_ms >= oldest_ms and len(past) and past.at_ms.max() >= oldest_ms):
            return None
        if len(bought_ms) > n:  # of equal times at the end those of the higher rows
            return sorted(sorted(bought_ms, key=lambda product: (bought_ms[product], product))[-n:])
        return sorted(bought_ms)

    def add(self, customer: str, product: int, pieces: int, at_ms: int) -> None:
        """Remember a line; the oldest of too many (perhaps this one), and who bought longest ago, are forgotten."""
        lines = self._recent.get(customer)
        if lines is None:
            lines = self._recent[customer] = array("q", (0,))
        else:
            self._recent.move_to_end(customer)
        _insert(lines, array("q", (product, pieces, at_ms)))
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

    def take_back(self, customer: str, product: int, pieces: int, at_ms: int) -> list[Line]:
        """Undo `pieces` of a product, the newest lines first; returns the lines of which nothing is left.

        What the remembered lines do not cover is owed by the past. A product of which the past leaves nothing was one
        line then, of the time when it was last bought: more the past does not tell.
        """
        lines, undone = list(_each(self._recent.get(customer))), list[Line]()
        for place in range(len(lines) - 1, -1, -1):
            line = lines[place]
            if pieces and line.product == product and line.pieces > 0:
                taken = min(pieces, line.pieces)
                pieces -= taken
                lines[place] = line._replace(pieces=line.pieces - taken)
                if taken == line.pieces:
                    undone.append(lines.pop(place))
        if lines or undone:
            self._replace(customer, lines)
        return undone + (self._owed(customer, product, pieces, at_ms) if pieces else [])

    def _owed(self, customer: str, product: int, pieces: int, at_ms: int) -> list[Line]:
        """Let the past owe pieces that it has; the line that it was, where none are left."""
        past = self._past.of(customer)
        place = int(np.searchsorted(past.rows, product))
        if place == len(past) or past.rows[place] != product or self.pieces(customer, product) <= 0:
            return []
        # Behind the newest line: among the oldest of too many it would be forgotten, and the product held again.
        recent = self._recent.get(customer)
        newest_ms = recent[-1] if recent and _count(recent) else at_ms
        self.add(customer, product, -pieces, max(at_ms, newest_ms))
        if self.pieces(customer, product) > 0:
            return []
        return [Line(product, int(past.pieces[place]), int(past.at_ms[place]))]

    def _span(self, customer: str) -> tuple[int, int]:
        """Where the past has the customer's entries; nowhere for a stranger."""
        user = self._past.users.get(customer)
        return (0, 0) if user is None else (self._starts[user], self._starts[user + 1])

    def _replace(self, customer: str, lines: list[Line]) -> None:
        self._changes += 1
        kept = array("q", [self._changes, *itertools.chain.from_iterable(lines)])
        self.lines += _count(kept) - _count(self._recent[customer])
        self._recent[customer] = kept


def _insert(lines: "Lines[int]", line: "Lines[int]") -> None:
    """Put a line behind all that are not younger: a till may send its sales late."""
    at_ms = line[-1]
    if len(lines) == _FIRST or at_ms >= lines[-1]:
        lines.extend(line)
    else:
        place = _FIRST + _FIELDS * bisect_right(lines[_FIRST + _FIELDS - 1 :: _FIELDS], at_ms)
        lines[place:place] = line


def _count(lines: "Lines[int] | None") -> int:
    return len(lines) // _FIELDS if lines else 0


def _each(lines: "Lines[int] | None") -> Iterator[Line]:
    numbers = itertools.islice(lines or (), _FIRST, None)
    return map(Line, numbers, numbers, numbers)


def _columns(lines: "Lines[int]") -> Int64s:
    """Products, pieces and times of the lines: [3, lines], a view that must not outlive the next change."""
    return np.frombuffer(lines, np.int64)[_FIRST:].reshape(-1, _FIELDS).T


def _listed(rows: NDArray[np.int64]) -> list[int]:
    listed: list[int] = rows.tolist()
    return listed


def _net(past: History, recent: "Lines[int]") -> History:
    """The past and the lines together, product by product."""
    products, pieces, times = _columns(recent)
    rows, places = np.unique(np.concatenate((past.rows, products)), return_inverse=True)
    changes = np.concatenate((past.pieces, pieces)).astype(np.float64)
    net = _sums(places, changes)
    newest = np.zeros(len(rows), np.int64)
    bought = changes > 0
    np.maximum.at(newest, places[bought], np.concatenate((past.at_ms, times))[bought])
    held = net > 0
    return History(rows[held], net[held], newest[held])


def _sums(places: NDArray[np.int64], values: Float64s) -> Float64s:
    sums = np.zeros(int(places.max()) + 1)
    np.add.at(sums, places, values)
    return sums
