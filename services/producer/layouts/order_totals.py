"""What an export says of a whole order, as amounts of its lines. Pure."""

from collections.abc import Sequence
from typing import NamedTuple


class OrderLine(NamedTuple):
    """A line's revenue before what was taken off the whole order, and what its row says of the order, in cents.

    `revenue` is None where it cannot be read; `total` is what the order's lines cost together, None where the row does
    not say; `refund` was paid back.
    """

    order: str
    revenue: int | None
    total: int | None
    refund: int


def spread(lines: Sequence[OrderLine]) -> list[int | None]:
    """The amounts of an order's lines, which add up to its total less the refund; None where nothing is taken off.

    What is taken off is shared in proportion to the revenue; the cents that remain go to the largest remainders, the
    first line first. A total above the lines' revenue (with tax) takes nothing off, and a refund beyond the total (of
    shipping or tax) takes off the total. Returned lines and lines that cannot be read leave the order as it is.
    """
    revenues = [line.revenue for line in lines]
    gross = sum(revenue or 0 for revenue in revenues)
    total = min(next((line.total for line in lines if line.total is not None), gross), gross)
    net = max(total - max((line.refund for line in lines), default=0), 0)
    if any(revenue is None or revenue < 0 for revenue in revenues) or total < 0 or net == gross:
        return [None] * len(lines)
    known = [revenue or 0 for revenue in revenues]
    shares = [revenue * net // gross for revenue in known]
    by_remainder = sorted(range(len(known)), key=lambda at: -(known[at] * net % gross))
    for at in by_remainder[: net - sum(shares)]:
        shares[at] += 1
    return list(shares)
