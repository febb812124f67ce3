"""How an answer's score is put together: the settings that a shop's validation chooses and its manifest keeps."""

import msgspec

from recsys.decayed_counts import HOUR_MS


class Fading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part that halves every `half_life_h` hours, and how much it counts."""

    half_life_h: float
    weight: float


class Composition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights of the parts of a score, and what shapes the parts. Raises ValueError for what no answer can be made of.

    score = factors · fading · (customer · product)
          + popularity · ln(1 + model's popularity)
          + live · ln(1 + Σ weight · live count) − Σ over steady: weight · ln(1 + live count)
          + neighbours · Σ over purchases: recency · co-purchase
          + categories · Σ over purchases: recency · tie of the categories · product's share in its own
          + repeats · the product's own purchase: recency · ln(1 + pieces)

    where a purchase's recency is Σ weight · 2^(−age / half-life), and `fading` is the same of `fade` and the age of
    the customer's newest purchase, or 1 without `fade`. `steady` holds against a product what it has sold for long: a
    regular who has not bought it so far is less likely to than its sales say.

    `still` are the weights for a state that stands still, where Kafka is away for long: trends of hours say nothing
    then of the days that follow.
    """

    factors: float = 0.0
    popularity: float = 0.0
    live: float = 0.0
    neighbours: float = 0.0
    categories: float = 0.0
    repeats: float = 0.0
    trends: tuple[Fading, ...] = (Fading(6.0, 1.0),)
    steady: tuple[Fading, ...] = ()
    recency: tuple[Fading, ...] = (Fading(336.0, 1.0),)
    fade: tuple[Fading, ...] = ()
    shrink: float = 100.0
    balance: float = 0.0
    purchases: int = 50  # the newest ones, to which neighbours and categories look
    mask_bought: bool = True
    sold_within_days: int = 30
    still: "Composition | None" = None

    @property
    def half_lives_h(self) -> tuple[float, ...]:
        """The half-lives of the counts that a live state must follow, in hours."""
        own = (part.half_life_h for part in (*self.trends, *self.steady))
        return tuple(dict.fromkeys((*own, *(self.still.half_lives_h if self.still else ()))))

    @property
    def half_lives_ms(self) -> tuple[float, ...]:
        """The same in milliseconds."""
        return tuple(hours * HOUR_MS for hours in self.half_lives_h)

    def __post_init__(self) -> None:
        fading = (*self.trends, *self.steady, *self.recency, *self.fade)
        if not self.trends or any(part.half_life_h <= 0 or part.weight < 0 for part in fading):
            raise ValueError(
                "trends, steady, recency and fade need half-lives above 0 and weights of 0 or more, trends at least one"
            )
        if self.shrink <= 0 or not 0 <= self.balance <= 1:
            raise ValueError(f"shrink {self.shrink} must be above 0, balance {self.balance} within 0 to 1")
        if self.purchases < 1 or self.sold_within_days < 1:
            raise ValueError("purchases and sold_within_days must be 1 or more")
        if self.still is not None and self.still.still is not None:
            raise ValueError("still: the weights for a state that stands still have none of their own for that")


PARTS = ("factors", "popularity", "live", "neighbours", "categories", "repeats")


def in_words(composition: Composition) -> str:
    """The composition as a line for people."""
    weights = ", ".join(f"{part} {weight:.3g}" for part in PARTS if (weight := getattr(composition, part)))
    trends = " + ".join(f"{part.weight:.3g} × {part.half_life_h:g} h" for part in composition.trends)
    bought = "left out" if composition.mask_bought else "shown again"
    still = f"; while the stream is away: {in_words(composition.still)}" if composition.still else ""
    return (
        f"{weights or 'nothing'}; live counts {trends}; what a customer has bought is {bought}; "
        f"sold within {composition.sold_within_days} days{still}"
    )
