"""Re-ranking of a pool of six products for variety."""

import numpy as np
import pytest

from recsys.catalogue import Catalogue, Labels, ProductColumns
from recsys.topk import Ranked
from recsys.variety import PLACES, Variety, VarietyRanker

#              milk   milk    milk     bread    bread    unknown
NAMES = [1, 1, 2, 3, 4, 0]
CATEGORIES = [1, 1, 1, 2, 2, 0]
BRANDS = [1, 1, 1, 1, 2, 0]
VECTORS = np.array([[1, 0], [0, 1], [1, 0.01], [0, 1], [0.7, 0.7], [1, 0]], np.float32)


def ranker(products: int = 6) -> VarietyRanker:
    def labels(codes: list[int]) -> Labels:
        return Labels(np.resize(np.array(codes, np.int32), products), ["", "a", "b", "c", "d"])

    columns = ProductColumns(labels(NAMES), labels(CATEGORIES), labels(BRANDS), np.full(products, 100))
    catalogue = Catalogue([f"p{number:03d}" for number in range(products)], products, columns)
    return VarietyRanker(catalogue, np.resize(VECTORS, (products, 2)))


def pool(*scores: float) -> Ranked:
    return Ranked(np.arange(len(scores)), np.array(scores, np.float64))


SIX = pool(6, 5, 4, 3, 2, 1)


def shown(wanted: Variety, k: int = 3) -> tuple[list[int], int]:
    varied = ranker().varied(SIX, k, wanted)
    return varied.ranked.rows.tolist(), varied.broken


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        (Variety(alike=False), [0, 1, 2]),
        (Variety(), [0, 3, 4]),  # 1 has the name and category of 0, 2 its category and nearly its factors
        (Variety(alike=False, same_category=2), [0, 1, 3]),
        (Variety(alike=False, same_category=1), [0, 3, 5]),
        (Variety(alike=False, same_brand=1), [0, 4, 5]),
        (Variety(alike=False, weight=1.0), [0, 3, 1]),
        (Variety(alike=False, weight=0.01), [0, 1, 2]),
    ],
)
def test_the_best_that_keep_the_rules(wanted: Variety, rows: list[int]) -> None:
    assert shown(wanted) == (rows, 0)


def test_scores_stay_those_of_their_products() -> None:
    ranked = ranker().varied(SIX, 3, Variety()).ranked
    assert ranked.scores.tolist() == [6, 3, 2]


def test_where_nothing_else_is_left_the_rules_are_broken_in_order_of_score() -> None:
    assert shown(Variety(), 6) == ([0, 3, 4, 5, 1, 2], 2)
    assert shown(Variety(same_category=1, same_brand=1), 100) == ([0, 4, 5, 1, 2, 3], 3)


@pytest.mark.parametrize("scores", [(), (1.0,), (1.0, 1.0, 1.0)])
def test_few_or_equal_scores_are_no_problem(scores: tuple[float, ...]) -> None:
    varied = ranker().varied(pool(*scores), 3, Variety(weight=0.5, alike=False))
    assert sorted(varied.ranked.rows.tolist()) == list(range(len(scores)))


def test_behind_the_first_places_the_order_is_that_of_scores() -> None:
    many = pool(*range(60, 0, -1))
    rows = ranker(60).varied(many, 30, Variety(weight=0.5, alike=False)).ranked.rows
    assert len(set(rows.tolist())) == 30
    assert (np.diff(rows[PLACES:]) > 0).all()
    assert ranker(60).varied(many, 3, Variety(weight=0.5, alike=False)).ranked.rows.tolist() == rows[:3].tolist()


@pytest.mark.parametrize(
    ("variety", "is_on"),
    [
        (Variety(), True),
        (Variety(alike=False), False),
        (Variety(alike=False, weight=0.1), True),
        (Variety(alike=False, same_brand=1), True),
        (Variety(alike=False, same_category=1), True),
    ],
)
def test_without_a_rule_there_is_nothing_to_do(variety: Variety, is_on: bool) -> None:
    assert variety.is_on is is_on
