"""What is known of a gain: the evidence of all shops, of earlier windows and of the newest one, added up.

A small shop's newest weeks alone prove nothing, and a gain of a tenth is worth having without proof. So evidence is
combined as normal distributions by their precisions (Gelman and others, "Bayesian Data Analysis", 2013, section 2.5),
and a gain is believed at the odds of nine to one.
"""

import math
from dataclasses import dataclass

import numpy as np

from recsys.evaluation.metrics import DayBootstrap
from recsys.topk import Float64s, Int64s

ENOUGH = 0.9
"""The probability at which a gain is believed."""
_ONE_ANSWER = 4.0
"""The square of the largest value, of an answer with the product bought in its first place."""
_NARROWEST = 0.01
"""No window knows a gain more exactly than so: tastes change from one to the next."""


@dataclass(frozen=True, slots=True)
class Belief:
    """A relative gain: its mean, and the standard deviation of what is known of it."""

    mean: float
    deviation: float

    @property
    def chance(self) -> float:
        """The probability that the gain is above zero."""
        return 0.5 * (1 + math.erf(self.mean / self.deviation / math.sqrt(2)))

    def and_also(self, evidence: "Belief | None") -> "Belief":
        """The belief after independent evidence; None: there was nothing to see."""
        if evidence is None:
            return self
        own, others = self.deviation**-2, evidence.deviation**-2
        return Belief((self.mean * own + evidence.mean * others) / (own + others), (own + others) ** -0.5)

    def record(self) -> dict[str, float]:
        """As JSON."""
        return {name: round(getattr(self, name), 4) for name in ("mean", "deviation", "chance")}

    def in_words(self) -> str:
        """For people: the most likely gain, and the probability that there is one."""
        return f"a likely gain of {100 * self.mean:+.0f} %, above zero with a probability of {100 * self.chance:.0f} %"


ACROSS_SHOPS = Belief(0.1, 0.2)
"""The gain of personal weights over popular products in any shop (docs/recommendations.md#every-shop)."""
UNKNOWN = Belief(0.0, 0.2)
"""Where other shops say nothing, as of customers who have been away for long."""


def gain(one: Float64s, other: Float64s, at_ms: Int64s) -> Belief | None:
    """The gain of one method's values [questions] over another's, relative to the mean of the two.

    The deviation is that of a bootstrap over days, but not below that of counting the answers that differ: few hits on
    few days look alike by chance. None where neither has a hit.
    """
    level = float(one.sum() + other.sum()) / 2
    if not level > 0:
        return None
    blocks = DayBootstrap(at_ms)
    firsts, seconds = blocks.means(one), blocks.means(other)
    with np.errstate(invalid="ignore"):  # a resample without a hit has no gain
        resampled = 2 * (firsts - seconds) / (firsts + seconds)
    spread = float(np.nanstd(resampled))
    counted = math.sqrt(_ONE_ANSWER + float(((one - other) ** 2).sum())) / level
    return Belief(float((one.sum() - other.sum()) / level), max(spread, counted, _NARROWEST))
