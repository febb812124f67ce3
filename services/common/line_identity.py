"""Identity of a purchase line within its order, as 8-byte tokens.

A token covers what the line says it is: its event id, product, quantity and revenue. So two lines under one event id
both count where they differ, and a sender who copies the id of another's line can only send that very line.

BLAKE2b, because a faster hash would let a sender find two lines with one token. Two of an order's lines share a token
by chance once in 2^64.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b

from services.common.events import Purchase

TOKEN_BYTES = 8


def line_token(purchase: Purchase) -> bytes | None:
    """The token of a line; None for a line without an event id, which counts each time it is sent."""
    event_id, product_id = purchase.event_id, purchase.product_id
    if event_id is None:
        return None
    # Lengths come first: no two lines give one text.
    text = f"{len(event_id)}:{event_id}{len(product_id)}:{product_id}{purchase.quantity},{purchase.revenue}"
    return blake2b(text.encode(), digest_size=TOKEN_BYTES).digest()


def replay_token(purchase: Purchase) -> bytes | None:
    """The second token of a replayed dead letter; None for every other line.

    It covers the event id alone, so that two repairs of one dead letter count once, whatever they changed.
    """
    if purchase.replay_of is None or purchase.event_id is None:
        return None
    return blake2b(f"replay {purchase.event_id}".encode(), digest_size=TOKEN_BYTES).digest()


def line_tokens(purchase: Purchase) -> tuple[bytes, ...]:
    """All tokens of a line: it is a repeat if its order has any of them."""
    token = line_token(purchase)
    if token is None:
        return ()
    second = replay_token(purchase) if purchase.replay_of is not None else None
    return (token,) if second is None else (token, second)


class LineVerdict(Enum):
    """What becomes of an accepted line."""

    COUNTS = "counts"
    REPEAT = "repeat"
    ORDER_CHANGED = "order_changed"


@dataclass(slots=True)
class OrderLines:
    """What has counted of one order: the tokens of its lines, and the first digest that came with one that counts."""

    tokens: set[Hashable] = field(default_factory=set)
    digest: str | None = None

    def add(self, tokens: tuple[Hashable, ...], digest: str | None) -> LineVerdict:
        """The verdict on the order's next line, which is remembered if it counts.

        A line that the order does not have, from an export in which the order is another one, is for a person to look
        at: it may be new, or a line that has counted and was changed since.
        """
        if not self.tokens.isdisjoint(tokens):
            return LineVerdict.REPEAT
        if digest is not None and self.digest not in (None, digest):
            return LineVerdict.ORDER_CHANGED
        self.digest = self.digest or digest
        self.tokens.update(tokens)
        return LineVerdict.COUNTS
