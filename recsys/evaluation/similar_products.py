"""Whether what is like a product replaces it, and what goes with it is bought with it, on purchases after a split.

*Substitution*: a customer bought product i, and the next time anything of its category another product j of it. What is
like i should hold j. *Complement*: of an order with products of several categories, i asks for j of another one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.purchase_log import ANONYMOUS, PurchaseLog
from recsys.evaluation.rolling import Answers
from recsys.topk import Allowed, Float64s, Int64s, Rows

K = 10
CARDS = 3
Finder = Callable[[int, int, Allowed], Rows]
"""The k products, best first, for a product, of those allowed."""


@dataclass(frozen=True, slots=True)
class ProductQuestions:
    """Pairs [n] of the product asked about and the one that counts as a hit, with the time of the hit."""

    at_ms: Int64s
    asked: Int64s
    target: Int64s

    def __len__(self) -> int:
        return len(self.asked)

    def sample(self, most: int, seed: int = 1) -> "ProductQuestions":
        """At most so many of them, drawn with a seed."""
        drawn = np.random.default_rng(seed).permutation(len(self))[:most]
        drawn.sort()
        return ProductQuestions(self.at_ms[drawn], self.asked[drawn], self.target[drawn])


def substitutions(log: PurchaseLog, categories: NDArray[np.int32], first: int, last: int) -> ProductQuestions:
    """Each change of a customer from one product to another of its category, in an order of lines `first` to `last`.

    `categories` [products], below 0 where unknown: such products are not asked about.
    """
    category = categories[log.rows[:last]]
    lines = np.flatnonzero((log.quantity[:last] > 0) & (log.customers[:last] != ANONYMOUS) & (category >= 0))
    lines = lines[np.lexsort((lines, category[lines], log.customers[lines]))]
    before, after = lines[:-1], lines[1:]
    changed = (
        (log.customers[before] == log.customers[after])
        & (category[before] == category[after])
        & (log.orders[before] != log.orders[after])
        & (log.rows[before] != log.rows[after])
        & (after >= first)
    )
    before, after = before[changed], after[changed]
    by_time = np.argsort(after, kind="stable")
    before, after = before[by_time], after[by_time]
    return ProductQuestions(log.at_ms[after], log.rows[before], log.rows[after])


def companions(log: PurchaseLog, categories: NDArray[np.int32], first: int, last: int) -> ProductQuestions:
    """Of each order within the lines that has products of several categories two of them, drawn with a seed."""
    chance, found = np.random.default_rng(1), list[tuple[int, int, int]]()
    for order in log.each_order(first, last):
        drawn = chance.random(2)
        rows = np.unique(log.rows[order.first : order.last][log.quantity[order.first : order.last] > 0])
        if len(rows) < 2:
            continue
        asked = int(rows[int(drawn[0] * len(rows))])
        others = rows[(categories[rows] != categories[asked]) | (categories[rows] < 0)]
        others = others[others != asked]
        if len(others):
            found.append((int(log.at_ms[order.first]), asked, int(others[int(drawn[1] * len(others))])))
    return ProductQuestions(*np.array(found, np.int64).reshape(-1, 3).T)


def ask(questions: ProductQuestions, finders: Mapping[str, Finder], on_sale: Allowed) -> Answers:
    """Each method's top K for every question: one answer for each product asked about, as of the split."""
    products, place = np.unique(questions.asked, return_inverse=True)
    shown = np.full((len(finders), len(products), K), -1, np.int32)
    for number, product in enumerate(products.tolist()):
        allowed = on_sale.copy()
        allowed[product] = False
        for method, find in enumerate(finders.values()):
            rows = find(product, K, allowed)
            shown[method, number, : len(rows)] = rows
    each = shown[:, place]
    return Answers(
        methods=tuple(finders),
        at_ms=questions.at_ms,
        gap_ms=np.zeros(len(questions), np.int64),
        targets=np.ones(len(questions), np.int64),
        shown=each,
        hits=each == questions.target[:, np.newaxis],
        candidates=on_sale,
    )


def same_category(answers: Answers, asked: Int64s, categories: NDArray[np.int32], on_sale: Allowed) -> Float64s:
    """The share of the first CARDS that are of the category asked about [methods + 1, questions].

    The last row is what the category tree allows: its other products on sale, as far as there are so many.
    """
    own = categories[asked]
    shown = answers.shown[:, :, :CARDS]
    same = (shown >= 0) & (categories[shown] == own[:, np.newaxis]) & (own >= 0)[:, np.newaxis]
    sizes = np.bincount(categories[on_sale & (categories >= 0)], minlength=int(categories.max(initial=0)) + 1)
    possible = np.minimum(np.where(own >= 0, sizes[own] - on_sale[asked], 0), CARDS)
    return np.vstack((same.sum(axis=2), possible[np.newaxis])) / CARDS
