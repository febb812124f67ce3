"""Weights of the score of a basket: chosen and gated on basket completion, kept in the manifest of a model."""

import msgspec

from recsys.score_weights import DecayTerm, ScoreWeights, describe


class OrderTerm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What products bought in the same orders add to a score. Raises ValueError for unusable values.

    term(j) = weight · Σ over products i of the basket: n_ij / ((n_i + shrink)^(1 − balance) · (n_j + shrink)^balance)

    with the number of orders of each product n and of both n_ij. Balance 0 is the share of the orders of i that hold j,
    so popular products lead; 0.5 is the cosine. The shrinkage lowers pairs that were seen once or twice.
    """

    weight: float = 1.0
    shrink: float = 20.0
    balance: float = 0.5

    def __post_init__(self) -> None:
        if self.weight < 0 or self.shrink <= 0 or not 0 <= self.balance <= 1:
            raise ValueError(
                f"orders: weight {self.weight} must be 0 or more, shrink {self.shrink} above 0, "
                f"balance {self.balance} within 0 to 1"
            )


class BasketWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """score of a basket = the term of orders + the score that the other weights compose of it.

    To the other weights the basket is a customer who bought its products this moment, and nothing before.
    """

    orders: OrderTerm
    others: ScoreWeights


POPULAR = ScoreWeights(live=0.01, trends=(DecayTerm(168.0, 1.0),))
DEFAULT_BASKET = BasketWeights(OrderTerm(), POPULAR)
"""Serves until there are enough orders to choose by."""


def popular_basket(weights: BasketWeights) -> BasketWeights:
    """The same without what depends on the basket."""
    others = msgspec.structs.replace(weights.others, factors=0.0, neighbours=0.0, categories=0.0, repeats=0.0)
    return BasketWeights(msgspec.structs.replace(weights.orders, weight=0.0), others)


def depends_on_basket(weights: BasketWeights) -> bool:
    """Whether different baskets get different products."""
    others = weights.others
    return any((weights.orders.weight, others.factors, others.neighbours, others.categories))


def describe_basket(weights: BasketWeights) -> str:
    """The weights as a line for people."""
    orders = weights.orders
    return (
        f"orders {orders.weight:.3g} (shrink {orders.shrink:g}, balance {orders.balance:g}); {describe(weights.others)}"
    )


def half_lives_h(weights: ScoreWeights, basket: BasketWeights | None) -> tuple[float, ...]:
    """The half-lives of the counts that a live state must follow for these weights, in hours."""
    of_baskets = basket.others.half_lives_h if basket else ()
    return tuple(dict.fromkeys((*weights.half_lives_h, *of_baskets)))
