"""A valid purchase with its place in the stream and its identity."""

from typing import NamedTuple

from services.common.events import Purchase
from services.common.line_identity import line_token, replay_token


class AcceptedLine(NamedTuple):
    """A valid purchase with its offset. `arrived_at` is the broker timestamp in epoch milliseconds.

    `tokens` identify it within its order; a line without any counts each time.
    """

    offset: int
    arrived_at: int
    purchase: Purchase
    tokens: tuple[bytes, ...]


def tokens_of(purchase: Purchase) -> tuple[bytes, ...]:
    """The tokens of a line: a repeat has one of those that its order has."""
    token = line_token(purchase)
    if token is None:
        return ()
    replay = replay_token(purchase)
    return (token,) if replay is None else (token, replay)
