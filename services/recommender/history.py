"""What each customer bought: the model's purchases, and the stream's since then. NumPy only; bounded."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.recommender.scoring import Float64s, Int64s, Rows


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
        span = slice(self.starts[user], self.starts[user + 1])
        return History(self.rows[span].astype(np.int64), self.pieces[span], self.at_ms[span])


NO_PAST = PastPurchases({}, np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


class Histories:
    """The newest `lines` purchase lines of each of the `customers` who bought last, on top of the past."""

    def __init__(self, past: PastPurchases, lines: int, customers: int) -> None:
        self._past = past
        self._lines = lines
        self._customers = customers
        self._recent: OrderedDict[str, list[Line]] = OrderedDict()
        self._changed: dict[str, int] = {}  # of the same customers
        self._changes = 0

    def __len__(self) -> int:
        """Customers with a purchase since the model's cut-off, as far as they are remembered."""
        return len(self._recent)

    def of(self, customer: str) -> History:
        """What the customer holds now."""
        past, recent = self._past.of(customer), self._recent.get(customer)
        return _net(past, recent) if recent else past

    def changed(self, customer: str) -> int:
        """Which change of all was this customer's last one; 0 where the past alone is known."""
        return self._changed.get(customer, 0)

    def add(self, customer: str, line: Line) -> None:
        """Remember a line; the oldest of too many, and the customer who bought longest ago, are forgotten."""
        lines = self._recent.setdefault(customer, [])
        lines.append(line)
        del lines[: -self._lines]
        self._change(customer)
        self._recent.move_to_end(customer)
        if len(self._recent) > self._customers:
            forgotten, _ = self._recent.popitem(last=False)
            del self._changed[forgotten]

    def take_back(self, customer: str, product: int, pieces: int, at_ms: int) -> list[Line]:
        """Undo `pieces` of a product, the newest lines first; returns the lines of which nothing is left.

        What the remembered lines do not cover is owed by the past.
        """
        lines = self._recent.get(customer, [])
        undone = []
        for place in range(len(lines) - 1, -1, -1):
            line = lines[place]
            if pieces and line.product == product and line.pieces > 0:
                taken = min(pieces, line.pieces)
                pieces -= taken
                lines[place] = line._replace(pieces=line.pieces - taken)
                self._change(customer)
                if taken == line.pieces:
                    undone.append(lines.pop(place))
        if pieces and product in self._past.of(customer).rows:
            self.add(customer, Line(product, -pieces, at_ms))
        return undone

    def _change(self, customer: str) -> None:
        self._changes += 1
        self._changed[customer] = self._changes


def _net(past: History, recent: list[Line]) -> History:
    """The past and the lines together, product by product."""
    products, pieces, times = zip(*recent, strict=True)
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
