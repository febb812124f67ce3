"""Small logs of purchases for the evaluation's tests."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from recsys.decayed_counts import DAY_MS
from recsys.evaluation.purchase_log import ANONYMOUS, PurchaseLog

START_MS = 1_600_041_600_000  # 2020-09-14T00:00:00Z

LogLine = tuple[float, str, str | None, int]
"""Days after the start, order, customer, product."""


def log_of(
    lines: Sequence[LogLine],
    products: int,
    category: Sequence[int] | None = None,
    quantity: Sequence[int] | None = None,
) -> PurchaseLog:
    """A log of these lines, which are in order; product n has the id `p00n`."""
    users = sorted({user for _, _, user, _ in lines if user is not None})
    orders = sorted({order for _, order, _, _ in lines})
    return PurchaseLog(
        at_ms=np.array([START_MS + round(day * DAY_MS) for day, _, _, _ in lines], np.int64),
        orders=np.array([orders.index(order) for _, order, _, _ in lines], np.int64),
        customers=np.array([ANONYMOUS if user is None else users.index(user) for _, _, user, _ in lines], np.int64),
        rows=np.array([row for _, _, _, row in lines], np.int64),
        quantity=np.array([1] * len(lines) if quantity is None else quantity, np.int64),
        users=users,
        products=[f"p{row:03d}" for row in range(products)],
        category=np.full(products, -1, np.int32) if category is None else np.array(category, np.int32),
    )


def two_worlds(customers: int, seed: int, permuted: bool = False, last_start: float = 36.0) -> PurchaseLog:
    """A shop of two worlds of 20 products: every customer buys four times in one of them, a day or so apart.

    Customers come until day `last_start`.

    `permuted` deals the same orders to customers by chance: what sells stays as it is, nothing personal is left.
    """
    chance = np.random.default_rng(seed)
    lines: list[LogLine] = []
    for customer in range(customers):
        starts = chance.uniform(0, last_start)
        for visit in range(4):
            world = int(chance.integers(2)) if permuted else customer % 2
            row = 20 * world + min(int(chance.exponential(6)), 19)
            lines.append((starts + visit * chance.uniform(0.5, 2), f"o{customer}-{visit}", f"u{customer:04d}", row))
    return log_of(sorted(lines), 40, [row // 20 for row in range(40)])


def sets_of_six(orders: int, seed: int, by_chance: bool = False) -> PurchaseLog:
    """Orders of three products of one of four sets of six, most without a customer, over thirty days.

    `by_chance` deals the same products to orders by chance: what sells stays as it is, no products go together.
    """
    random = np.random.default_rng(seed)
    lines: list[LogLine] = []
    for number, day in enumerate(np.sort(random.uniform(0, 30, orders)).tolist()):
        customer = f"u{number % 40}" if number % 4 == 0 else None
        chosen = random.choice(6, 3, replace=False, p=np.array([6, 5, 4, 3, 2, 1]) / 21) + 6 * int(random.integers(4))
        lines += [(day, f"o{number:05d}", customer, row) for row in sorted(chosen.tolist())]
    if by_chance:
        rows = random.permutation([row for *_, row in lines]).tolist()
        lines = [(*line[:3], row) for line, row in zip(lines, rows, strict=True)]
    return log_of(lines, 24)


def curated_lines(users: Sequence[str | None]) -> pa.Table:
    """A table of curated purchases: one line a millisecond, two lines an order, bought by these customers."""
    count = len(users)
    return pa.table(
        {
            "event_time": pa.array(range(count), pa.int64()),
            "order_id": [f"o{number // 2}" for number in range(count)],
            "user_id": pa.array(users, pa.string()),
            "product_id": [f"p{number % 7}" for number in range(count)],
            "category_code": pa.array([None] * count, pa.string()),
            "quantity": pa.array([1] * count, pa.int64()),
        }
    )
