"""What counts as a change of product and as a companion, and how answers to them are judged."""

import numpy as np
import pyarrow as pa
import pytest

from recsys.decayed_counts import DAY_MS
from recsys.evaluation.metrics import values
from recsys.evaluation.product_facts import catalogue_at
from recsys.evaluation.similar_products import ProductQuestions, ask, companions, same_category, substitutions
from recsys.evaluation.training_view import view_at
from tests.support.purchase_log import START_MS, LogLine, log_of

# Products 0 to 2 are of category 0, 3 and 4 of category 1, of 5 it is unknown.
CATEGORIES = np.array([0, 0, 0, 1, 1, -1], np.int32)
LINES: list[LogLine] = [
    (0, "a", "ann", 0),
    (0, "a", "ann", 3),
    (0, "b", "bob", 1),
    (1, "c", None, 0),
    (2, "d", "ann", 1),  # ann changes from 0 to 1
    (2, "d", "ann", 2),  # in the same order: no change
    (3, "e", "ann", 4),  # and from 3 to 4
    (3, "f", "bob", 1),  # the same again: no change
    (4, "g", "ann", 5),  # its category is unknown
    (4, "h", None, 1),
]


def test_a_change_is_the_next_product_of_a_category_in_another_order() -> None:
    log = log_of(LINES, 6)
    asked = substitutions(log, CATEGORIES, 3, len(log))
    assert list(zip(asked.asked.tolist(), asked.target.tolist(), strict=True)) == [(0, 1), (3, 4)]
    assert asked.at_ms.tolist() == [START_MS + 2 * DAY_MS, START_MS + 3 * DAY_MS]
    assert len(substitutions(log, CATEGORIES, 5, len(log))) == 1, "only changes within the lines"
    assert len(asked.sample(1)) == 1
    assert asked.sample(5).asked.tolist() == asked.asked.tolist()


def test_a_companion_is_of_another_category_in_the_same_order() -> None:
    log = log_of(LINES, 6)
    asked = companions(log, CATEGORIES, 0, len(log))
    assert {*zip(asked.asked.tolist(), asked.target.tolist(), strict=True)} <= {(0, 3), (3, 0)}
    assert len(asked) == 1, "the products of order d are of one category"


def test_answers_are_judged_by_the_target_and_by_what_the_category_allows() -> None:
    questions = ProductQuestions(np.zeros(2, np.int64), np.array([0, 3]), np.array([1, 4]))
    on_sale = np.array([True, True, True, True, False, True])
    answers = ask(
        questions,
        {"first": lambda product, k, allowed: np.flatnonzero(allowed)[:k], "none": lambda *_: np.empty(0, np.int64)},
        on_sale,
    )
    assert values(answers)["hr@3"].tolist() == [[1, 0], [0, 0]], "4 is not on sale, and 0 is never its own substitute"
    shares = same_category(answers, questions.asked, CATEGORIES, on_sale)
    assert shares.tolist() == [[pytest.approx(2 / 3), 0], [0, 0], [pytest.approx(2 / 3), 0]]


def test_the_catalogue_knows_the_newest_line_before_the_moment() -> None:
    log = log_of([(0, "a", "ann", 0), (1, "b", "ann", 0), (9, "c", "ann", 1)], 2)
    facts = pa.table(
        {
            "event_time": [START_MS + DAY_MS, START_MS, START_MS + 9 * DAY_MS],
            "product_id": ["p000", "p000", "p001"],
            "product_name": ["new", "old", "later"],
            "category_code": ["food", None, "food"],
            "brand": pa.array([None, None, None], pa.string()),
            "price": [200, 100, 300],
        }
    )
    catalogue = catalogue_at(facts, view_at(log, START_MS + 5 * DAY_MS))
    assert (catalogue.names[0], catalogue.categories[0], catalogue.brands[0], catalogue.price(0)) == (
        "new",
        "food",
        "",
        200,
    )
    assert (catalogue.names[1], catalogue.price(1)) == ("", None), "it is not sold yet"
