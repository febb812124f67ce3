"""The purchase log: curated purchases as columns, sorted by event time."""

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from recsys.live_state import Purchase
from services.common.event_clock import QUORUM, watermark_of

ANONYMOUS = -1
COLUMNS = ("event_time", "order_id", "user_id", "product_id", "category_code", "quantity")
_HASHES = 2**32


@dataclass(frozen=True, slots=True)
class Order:
    """The lines `first` to `last` (exclusive) of a log: one order."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PurchaseLog:
    """Purchase lines by time, then by order; columns [lines], ids as numbers into `users` and `products`."""

    at_ms: NDArray[np.int64]
    orders: NDArray[np.int64]
    customers: NDArray[np.int64]  # ANONYMOUS where unknown
    rows: NDArray[np.int64]
    quantity: NDArray[np.int64]
    users: Sequence[str]
    products: Sequence[str]
    category: NDArray[np.int32]  # [products], -1 where unknown

    def __len__(self) -> int:
        return len(self.at_ms)

    @property
    def newest_ms(self) -> int:
        """The event-time watermark of the log. There must be a line."""
        return watermark_of(self.at_ms[-QUORUM:].tolist())

    def at(self, moment_ms: int) -> int:
        """The number of lines before a moment, epoch ms."""
        return int(np.searchsorted(self.at_ms, moment_ms))

    def each_order(self, first: int, last: int) -> Iterator[Order]:
        """The orders within some lines. Lines of one order with the same time are adjacent."""
        changes = np.flatnonzero(np.diff(self.orders[first:last])) + first + 1
        bounds = [first, *changes.tolist(), last] if last > first else []
        return (Order(start, end) for start, end in itertools.pairwise(bounds))

    def user(self, line: int) -> str | None:
        """A line's customer; None where anonymous."""
        number = int(self.customers[line])
        return None if number == ANONYMOUS else self.users[number]

    def purchases(self, order: Order) -> Iterator[Purchase]:
        """An order's lines, as the live state applies them."""
        customer = self.user(order.first)
        span = slice(order.first, order.last)
        lines = zip(self.rows[span].tolist(), self.quantity[span].tolist(), self.at_ms[span].tolist(), strict=True)
        number = int(self.orders[order.first])
        return (Purchase(customer, row, quantity, at_ms, number) for row, quantity, at_ms in lines)

    def with_first(self, product_ids: Sequence[str]) -> "PurchaseLog":
        """The log with products renumbered: the given ones first, in this order, then the others in theirs."""
        number = {id_: place for place, id_ in enumerate(self.products)}
        given = np.array([number[id_] for id_ in product_ids], np.int64)
        others = np.setdiff1d(np.arange(len(self.products)), given)
        order = np.concatenate((given, others))
        row_of = np.empty(len(order), np.int64)
        row_of[order] = np.arange(len(order))
        return PurchaseLog(
            self.at_ms,
            self.orders,
            self.customers,
            row_of[self.rows],
            self.quantity,
            self.users,
            [self.products[place] for place in order.tolist()],
            self.category[order],
        )


def read_log(folder: Path) -> PurchaseLog:
    """The log of the curated purchases in a folder."""
    return log_of_table(ds.dataset(folder, partitioning="hive").to_table(columns=list(COLUMNS)))


def sampled_log(tables: Iterable[pa.Table], share: float) -> PurchaseLog:
    """The log of a share of the customers (and of the anonymous orders); each table has at least `COLUMNS`.

    The tables are sampled one by one: of each, only its sampled lines stay in memory.
    """
    return log_of_table(pa.concat_tables([sample(table, share) for table in tables]))


def sample(lines: pa.Table, share: float) -> pa.Table:
    """All lines of a share of the customers, always the same ones; each anonymous order counts as a customer."""
    if share >= 1:
        return lines
    who: Any = pc.coalesce(lines["user_id"], lines["order_id"]).combine_chunks().dictionary_encode()
    hashes = np.array([zlib.crc32(name.encode()) for name in who.dictionary.to_pylist()], np.int64)
    return lines.filter(pa.array((hashes < share * _HASHES)[who.indices.to_numpy()]))


def log_of_table(table: pa.Table) -> PurchaseLog:
    """The log of a table of `COLUMNS`, its lines in any order."""
    users, customers = _numbered(table["user_id"])
    products, rows = _numbered(table["product_id"])
    _, orders = _numbered(table["order_id"])
    _, categories = _numbered(table["category_code"])
    at_ms = _numpy(table["event_time"])
    order = np.lexsort((rows, orders, at_ms))
    category = np.full(len(products), -1, np.int32)
    category[rows[order]] = categories[order]
    return PurchaseLog(
        at_ms[order],
        orders[order],
        customers[order],
        rows[order],
        _numpy(table["quantity"])[order],
        users,
        products,
        category,
    )


def _numbered(column: "pa.ChunkedArray[Any]") -> tuple[list[str], NDArray[np.int64]]:
    """Distinct values in ascending order, and each line's index into them; -1 for null."""
    values: Any = pc.drop_null(pc.unique(column)).sort()
    places: Any = pc.index_in(column, value_set=values)
    return values.to_pylist(), _numpy(places.fill_null(-1)).astype(np.int64)


def _numpy(column: Any) -> NDArray[Any]:
    array: NDArray[Any] = column.combine_chunks().to_numpy(zero_copy_only=False)
    return array
