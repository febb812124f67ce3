"""Exploration: in a share of the answers the last place shows a product that nobody has bought yet. NumPy only.

Which answers those are, and which of the products that fit the customer best it is, follows from a hash of customer
and day: the same on every replica and until the day ends (UTC).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys.answers import Answer, Pick, ReasonCode
from recsys.catalogue import Catalogue
from recsys.decayed_counts import DAY_MS
from recsys.live_state import LiveState
from recsys.rotation import resting
from recsys.topk import Allowed, Ranked

NEAR = 20
"""So many of the new products take part in a customer's draw, the best most often."""

_SPAN = 2.0**64


@dataclass(frozen=True, slots=True)
class Exploration:
    """`share`: of the answers to customers with purchases, from 0 (none) to 1."""

    share: float = 0.0

    def includes(self, customer: str, now_ms: int) -> bool:
        """Whether a customer sees a new product on the day of `now_ms`."""
        return self.share > 0 and seed_of(f"whether {customer}", now_ms) < self.share * _SPAN


NO_EXPLORATION = Exploration()


def seed_of(customer: str, now_ms: int) -> int:
    """64 bits for a customer and a day."""
    text = f"{now_ms // DAY_MS} {customer}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, person=b"new").digest(), "big")


def unsold(catalogue: Catalogue, live: LiveState) -> Allowed:
    """A new mask [products] of what came with the shop's catalogue, and was never bought."""
    mask = live.never_sold()
    mask[: len(catalogue) - catalogue.fresh] = False
    return mask


def drawn(near: Ranked, ids: Sequence[str], customer: str, now_ms: int) -> Ranked:
    """One of the best new products [n], with their product ids, for a customer's day."""
    rest = resting(near, ids, 1, seed_of(customer, now_ms))
    (at,) = np.flatnonzero(~np.isin(near.rows, rest))
    return Ranked(near.rows[at : at + 1], near.scores[at : at + 1])


def with_new(answer: Answer, pick: Pick, k: int) -> Answer:
    """The answer with a new product in its last place of k."""
    new = replace(pick, reason=replace(pick.reason, code=ReasonCode.NEW, product=None, orders=None))
    return replace(answer, picks=(*answer.picks[: k - 1], new))
