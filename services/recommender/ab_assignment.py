"""A/B assignment: which of the serving models answers a customer, by a hash of the customer's id. Pure.

A customer's hash on [0, 1) is the first 8 bytes of BLAKE2b(user_id in UTF-8, person "tillstream-arm"), read
big-endian, divided by 2⁶⁴. The variants of the pointer take the first intervals, in its order, each as wide as its
weight; the main model takes the rest. So the assignment is sticky: a customer moves only where a weight changes. The
sample of topic `recommendations` uses another personalisation, and so holds the same share of each variant.

The main model answers requests without a customer (a basket, similar products).
"""

import hashlib
from collections.abc import Iterable
from typing import Protocol, TypeVar

_ASSIGNMENT = b"tillstream-arm"
_SAMPLE = b"tillstream-log"


class Weighted(Protocol):
    """A variant that gets a share of the customers."""

    @property
    def weight(self) -> float: ...


Variant = TypeVar("Variant", bound=Weighted)


def assign_variant(user_id: str, variants: Iterable[Variant]) -> Variant | None:
    """The variant that answers a customer; None for the main model."""
    left = _hash(user_id, _ASSIGNMENT)
    for variant in variants:
        left -= variant.weight
        if left < 0:
            return variant
    return None


def sampled(user_id: str, share: float) -> bool:
    """Whether a customer belongs to the share whose answers are recorded."""
    return _hash(user_id, _SAMPLE) < share


def _hash(user_id: str, person: bytes) -> float:
    digest = hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=8, person=person).digest()
    return int.from_bytes(digest) / 2**64
