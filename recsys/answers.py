"""What an answer consists of: its strategy, and products with their scores and reasons."""

from dataclasses import dataclass
from enum import StrEnum


class Strategy(StrEnum):
    """The kind of an answer."""

    PERSONAL = "personal"
    BASKET = "basket"
    POPULAR = "popular"


class ReasonCode(StrEnum):
    """Why a product is shown; part of the contract. Of equally large terms of a score the earlier one is named."""

    BOUGHT_TOGETHER = "bought_together"
    BOUGHT_BEFORE = "bought_before"
    CUSTOMERS_LIKE_YOU = "customers_like_you"
    CATEGORY = "category"
    POPULAR = "popular"
    # Of a place for products that nobody has bought yet.
    NEW = "new"
    # Of substitutes.
    SAME_CATEGORY = "same_category"
    LIKE_NAME = "like_name"
    SAME_BRAND = "same_brand"
    LIKE_PRICE = "like_price"
    SIMILAR = "similar"
    LIKE_ORDERS = "like_orders"


@dataclass(frozen=True, slots=True)
class Reason:
    """`weight` is the term of the score that the reason stands for; `product` a catalogue row.

    `orders`: of a basket or a complement, how many orders hold both products; never more than there were. `also`: of a
    substitute, its other reasons, the largest first.
    """

    code: ReasonCode
    weight: float
    product: int | None = None
    orders: int | None = None
    also: tuple[ReasonCode, ...] = ()


@dataclass(frozen=True, slots=True)
class Pick:
    """One recommended product: its catalogue row, score and reason."""

    product: int
    score: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """Picks of one model, best first; products that were not sold lately come last."""

    strategy: Strategy
    picks: tuple[Pick, ...]
    unknown_product_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Related:
    """What meets the same need as a product, and what is bought with it; each best first."""

    substitutes: tuple[Pick, ...]
    complements: tuple[Pick, ...]
