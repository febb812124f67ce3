"""A valid purchase with its place in the stream and its identity."""

from typing import NamedTuple

from services.common.events import Purchase


class AcceptedLine(NamedTuple):
    """A valid purchase with its offset. `arrived_at` is the broker timestamp in epoch milliseconds.

    `tokens` identify it within its order; a line without any counts each time.
    """

    offset: int
    arrived_at: int
    purchase: Purchase
    tokens: tuple[bytes, ...]
