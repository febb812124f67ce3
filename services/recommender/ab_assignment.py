"""Which of the active models answers a customer: the same one every time, by a hash of the customer's id. Pure.

A customer's place on [0, 1) is the first 8 bytes of BLAKE2b(user_id in UTF-8, person "tillstream-arm"), read
big-endian, divided by 2⁶⁴. The variants of the pointer take the first shares of it, in its order, each as wide as its
weight; the rest is the main model's. So a customer moves only where a weight changes. The sample of topic
`recommendations` uses another personalisation, and so holds the same share of each variant.

What has no customer (a basket, similar products) is answered by the main model.
"""

import hashlib
from collections.abc import Iterable
from typing import Protocol, TypeVar

_ARM = b"tillstream-arm"
_SAMPLE = b"tillstream-log"


class Weighted(Protocol):
    """What has a share of the customers."""

    @property
    def weight(self) -> float: ...


Arm = TypeVar("Arm", bound=Weighted)


def chosen(user_id: str, arms: Iterable[Arm]) -> Arm | None:
    """The variant that answers a customer; None for the main model."""
    place = _place(user_id, _ARM)
    for arm in arms:
        place -= arm.weight
        if place < 0:
            return arm
    return None


def sampled(user_id: str, share: float) -> bool:
    """Whether a customer belongs to the share of which answers are recorded."""
    return _place(user_id, _SAMPLE) < share


def _place(user_id: str, person: bytes) -> float:
    digest = hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=8, person=person).digest()
    return int.from_bytes(digest) / 2**64
