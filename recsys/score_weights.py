"""Weights of the terms of a score: chosen on a shop's validation window, kept in the manifest of its model."""

from math import inf

import msgspec

from recsys.decayed_counts import HOUR_MS


class DecayTerm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An exponential decay that halves every `half_life_h` hours, and its weight in a sum of such terms."""

    half_life_h: float
    weight: float


# The keys of the manifest and of the record of a search.
_JSON_KEYS = {"factor_decay": "fade", "baseline_trends": "steady", "offline_weights": "still"}


class ScoreWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename=_JSON_KEYS):
    """Weights of the terms of a score, and the parameters of the terms. Raises ValueError for unusable ones.

    score = factors · decay · (customer · product)
          + popularity · ln(1 + model's popularity)
          + live · ln(1 + Σ weight · live count) − Σ over baseline_trends: weight · ln(1 + live count)
          + neighbours · Σ over purchases: recency · co-purchase
          + categories · Σ over purchases: recency · affinity of the categories · product's share in its own
          + repeats · the product's own purchase: recency · ln(1 + quantity)

    where a purchase's recency is Σ weight · 2^(−age / half-life), and `decay` is the same sum of `factor_decay` for the
    age of the customer's newest purchase, or 1 without `factor_decay`. `baseline_trends` subtract what a product sells
    in the long run: who has not bought a regular product so far is less likely to than its sales say.

    With `personal_days`, customers whose newest purchase is older get no term of factors, neighbours and categories.
    Where it is not set, JSON leaves it out: older recommenders refuse weights that have it.

    `offline_weights` are used while the stream is unavailable: trends of hours do not predict the days that follow.
    """

    factors: float = 0.0
    popularity: float = 0.0
    live: float = 0.0
    neighbours: float = 0.0
    categories: float = 0.0
    repeats: float = 0.0
    trends: tuple[DecayTerm, ...] = (DecayTerm(6.0, 1.0),)
    baseline_trends: tuple[DecayTerm, ...] = ()
    recency: tuple[DecayTerm, ...] = (DecayTerm(336.0, 1.0),)
    factor_decay: tuple[DecayTerm, ...] = ()
    shrink: float = 100.0
    balance: float = 0.0
    purchases: int = 50  # the newest ones, which neighbours and categories use
    mask_bought: bool = True
    sold_within_days: int = 30
    personal_days: int | msgspec.UnsetType = msgspec.UNSET
    offline_weights: "ScoreWeights | None" = None

    @property
    def half_lives_h(self) -> tuple[float, ...]:
        """The half-lives of the counts that a live state must follow, in hours."""
        own = (term.half_life_h for term in (*self.trends, *self.baseline_trends))
        offline = self.offline_weights.half_lives_h if self.offline_weights else ()
        return tuple(dict.fromkeys((*own, *offline)))

    @property
    def half_lives_ms(self) -> tuple[float, ...]:
        """The same in milliseconds."""
        return tuple(hours * HOUR_MS for hours in self.half_lives_h)

    @property
    def personal_ms(self) -> float:
        """The age of the newest purchase up to which the personal terms count, in milliseconds."""
        return inf if self.personal_days is msgspec.UNSET else self.personal_days * 24 * HOUR_MS

    def __post_init__(self) -> None:
        terms = (*self.trends, *self.baseline_trends, *self.recency, *self.factor_decay)
        if not self.trends or any(term.half_life_h <= 0 or term.weight < 0 for term in terms):
            raise ValueError(
                "trends, steady, recency and fade need half-lives above 0 and weights of 0 or more, trends at least one"
            )
        if self.shrink <= 0 or not 0 <= self.balance <= 1:
            raise ValueError(f"shrink {self.shrink} must be above 0, balance {self.balance} within 0 to 1")
        if self.purchases < 1 or self.sold_within_days < 1 or self.personal_ms < 1:
            raise ValueError("purchases, sold_within_days and personal_days must be 1 or more")
        if self.offline_weights is not None and self.offline_weights.offline_weights is not None:
            raise ValueError("still: the weights for an unavailable stream must not have such weights of their own")


TERMS = ("factors", "popularity", "live", "neighbours", "categories", "repeats")


def describe(weights: ScoreWeights) -> str:
    """The weights as a line for people."""
    terms = ", ".join(f"{term} {weight:.3g}" for term in TERMS if (weight := getattr(weights, term)))
    trends = " + ".join(f"{term.weight:.3g} × {term.half_life_h:g} h" for term in weights.trends)
    bought = "left out" if weights.mask_bought else "shown again"
    offline = f"; while the stream is away: {describe(weights.offline_weights)}" if weights.offline_weights else ""
    days = weights.personal_days
    away = "" if days is msgspec.UNSET else f"; popular products for customers who were away for {days} days"
    return (
        f"{terms or 'nothing'}; live counts {trends}; what a customer has bought is {bought}; "
        f"sold within {weights.sold_within_days} days{away}{offline}"
    )
