"""Identity of a purchase line within its order, as 8-byte tokens.

A token covers what the line says it is: its event id, product, quantity and revenue. So two lines under one event id
both count where they differ, and a sender who copies the id of another's line can only send that very line.

BLAKE2b, because a faster hash would let a sender find two lines with one token. Two of an order's lines share a token
by chance once in 2^64.
"""

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

    It covers the event id alone. A replay is a repeat if the order has either of its tokens, and leaves both: so two
    repairs of one dead letter count once, whatever they changed.
    """
    if purchase.replay_of is None or purchase.event_id is None:
        return None
    return blake2b(f"replay {purchase.event_id}".encode(), digest_size=TOKEN_BYTES).digest()
