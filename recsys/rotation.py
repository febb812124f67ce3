"""Rotation: a customer who comes again sees other good products. NumPy only.

Of the best k + n products, n rest for a visit, drawn anew for the next one. A product's chance to be shown falls with
its place: place p (0 is the best) has the weight 1 / (1 + p), and products are drawn without replacement by weighted
keys (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006). The draw is a hash of customer,
visit and product: the same on every replica and in an export, and as long as the visit lasts.
"""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.decayed_counts import HOUR_MS
from recsys.topk import Float64s, Ranked, Rows

_UNIT = 2.0**-53
"""Turns the upper 53 bits of a hash into a number from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many products rest for a visit, 0 for none, and how long a visit lasts."""

    resting: int = 0
    visit_hours: float = 24.0

    def visit(self, customer: str, now_ms: int) -> int:
        """The seed of a customer's visit. Visits of different customers begin at different times."""
        length_ms = round(self.visit_hours * HOUR_MS)
        own = _hash(customer)
        return _hash(f"{(now_ms + own % length_ms) // length_ms} {customer}")


NO_ROTATION = Rotation()


def resting(best: Ranked, ids: Sequence[str], k: int, visit: int) -> Rows:
    """The rows of the best [n], with their product ids, that are not shown in this visit: n − k of them."""
    if len(best.rows) <= k:
        return best.rows[:0]
    chances = np.maximum(_uniform(ids, visit), _UNIT)
    # −log(u)/w with w = 1 / (1 + place) is exponential with the rate w: the k smallest are drawn.
    keys = -np.log(chances) * (1 + np.arange(len(ids)))
    return best.rows[np.argsort(keys, kind="stable")[k:]]


def _uniform(ids: Sequence[str], seed: int) -> Float64s:
    """A number from 0 to 1 for each product [n]: the finaliser of SplitMix64 (Steele and others, 2014)."""
    with np.errstate(over="ignore"):
        mixed = np.array([zlib.crc32(id_.encode()) for id_ in ids], np.uint64) ^ np.uint64(seed)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) * _UNIT


def _hash(text: str) -> int:
    """64 bits, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
