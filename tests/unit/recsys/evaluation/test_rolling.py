"""Rolling and holdout evaluation of logs whose right answers are known."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from recsys.als_settings import AlsSettings
from recsys.decayed_counts import DAY_MS
from recsys.evaluation import holdout, rolling
from recsys.evaluation.rolling import NO_PURCHASE_BEFORE, NOTHING_LEFT, Answers, EvaluationProtocol, Method
from recsys.evaluation.training_view import TrainingView, view_at
from recsys.score_weights import DecayTerm, ScoreWeights
from recsys.scorer import ComposedScorer
from recsys.topk import Ranked
from tests.support.purchase_log import START_MS, LogLine, log_of

ALS = AlsSettings(rank=2, regularisation=1.0, alpha=1.0, iterations=1, seed=1, blocks=1)
HOURLY = (DecayTerm(1.0, 1.0),)
EVERYBODY = EvaluationProtocol()
MOMENT_MS = START_MS + 10 * DAY_MS
BEFORE: list[LogLine] = [
    (8, "a", "ann", 0),
    (8, "b", "bob", 0),
    (8, "b", "bob", 1),
    (9, "c", None, 2),
    (9.5, "d", None, 3),
]
AFTER: list[LogLine] = [
    (10, "e", None, 2),
    (10.01, "f", "ann", 2),
    (10.01, "f", "ann", 1),
    (10.02, "g", "ann", 1),
    (10.03, "h", "new", 3),
    (10.04, "i", "new", 4),
]


def known(after: list[LogLine] = AFTER) -> TrainingView:
    return view_at(log_of([*BEFORE, *after], 6), MOMENT_MS)


def method(view: TrainingView, frozen: bool = False, **weights: float) -> Method:
    trained = view.trained_parts(np.zeros((view.scored, 2), np.float32), ALS, view.popularity())
    return Method("method", ComposedScorer(trained, ScoreWeights(trends=HOURLY, **weights)), frozen)  # type: ignore[arg-type]


def rolled(view: TrainingView, *methods: Method, protocol: EvaluationProtocol = EVERYBODY) -> Answers:
    return rolling.evaluate(view, START_MS + 11 * DAY_MS, methods, protocol, "test")


def shown(view: TrainingView, answers: Answers) -> list[list[str]]:
    return [[view.log.products[row] for row in rows if row != NOTHING_LEFT] for rows in answers.shown[0]]


def test_each_order_is_answered_from_what_was_before_it_and_applied_whole() -> None:
    shop = known()
    answers = rolled(shop, method(shop, live=1.0))
    # p002 was sold a moment before; p000 and then p002, p001 are ann's; p001 has been sold twice when the next asks.
    assert shown(shop, answers) == [
        ["p002", "p003", "p001"],
        ["p001", "p002", "p003", "p000"],
        ["p001", "p002", "p000"],
    ]
    assert answers.hits[0, :, :3].tolist() == [[True, False, True], [False, False, True], [False, False, False]]


class CountedScorer(ComposedScorer):
    """Counts its answers."""

    answers = 0

    def top_k_each(self, *arguments: Any) -> Iterator[Ranked]:
        self.answers += 1
        return super().top_k_each(*arguments)


def test_methods_that_share_a_scorer_share_its_answers() -> None:
    shop = known()
    trained = shop.trained_parts(np.zeros((shop.scored, 2), np.float32), ALS, shop.popularity())
    scorer = CountedScorer(trained, ScoreWeights(trends=HOURLY, live=1.0))
    alone = rolled(shop, method(shop, live=1.0))
    both = rolled(shop, Method("one", scorer), Method("other", scorer))
    assert scorer.answers == len(both)
    assert both.shown.tolist() == [alone.shown[0].tolist()] * 2


def test_a_frozen_method_has_an_answer_of_its_own() -> None:
    shop = known()
    trained = shop.trained_parts(np.zeros((shop.scored, 2), np.float32), ALS, shop.popularity())
    scorer = ComposedScorer(trained, ScoreWeights(trends=HOURLY, live=1.0))
    both = rolled(shop, Method("live", scorer), Method("frozen", scorer, frozen=True))
    assert both.shown[0].tolist() != both.shown[1].tolist()


def test_targets_are_products_new_to_the_customer() -> None:
    shop = known()
    answers = rolled(shop, method(shop, live=1.0))
    assert answers.targets.tolist() == [2, 1, 1], "ann's third order holds nothing new and asks nothing"
    repeats = rolled(shop, method(shop, live=1.0), protocol=EvaluationProtocol(new_only=False))
    assert repeats.targets.tolist() == [2, 1, 1, 1]


def test_gaps_are_since_the_last_purchase() -> None:
    shop = known()
    gaps = rolled(shop, method(shop, live=1.0)).gap_ms.tolist()
    assert gaps == [round(2.01 * DAY_MS), NO_PURCHASE_BEFORE, round(0.01 * DAY_MS)]


@pytest.mark.parametrize(("who", "asked"), [("all", 3), ("warm", 2), ("cold", 1)])
def test_the_protocol_says_who_is_asked(who: str, asked: int) -> None:
    shop = known()
    assert len(rolled(shop, method(shop, live=1.0), protocol=EvaluationProtocol(who=who))) == asked  # type: ignore[arg-type]


def test_a_sample_asks_less_and_applies_all() -> None:
    shop = known()
    answers = [
        rolled(shop, method(shop, live=1.0), protocol=EvaluationProtocol(sample=0.5, seed=seed)) for seed in range(12)
    ]
    assert {len(some) for some in answers} > {1, 2}
    whole = rolled(shop, method(shop, live=1.0))
    full = dict(zip(whole.at_ms.tolist(), shown(shop, whole), strict=True))
    for some in answers:
        assert all(rows == full[at] for at, rows in zip(some.at_ms, shown(shop, some), strict=True))


def test_a_frozen_method_knows_nothing_of_the_stream_but_hides_what_was_bought() -> None:
    shop = known()
    answers = rolled(shop, method(shop, live=1.0, frozen=True))
    assert shown(shop, answers)[0] == ["p003", "p002", "p001"]
    assert shown(shop, answers)[1] == ["p003", "p002", "p000", "p001"]
    assert shown(shop, answers)[2] == ["p002", "p000", "p001"], "the new customer has p003 by now"


def test_a_frozen_method_gives_unknown_users_its_fallback() -> None:
    shop = known()
    popular = method(shop, live=1.0).scorer
    personal = Method("personal", method(shop, neighbours=1.0).scorer, frozen=True, fallback=popular)
    answers = rolled(shop, personal)
    assert shown(shop, answers)[0][0] == "p001", "ann holds p000, with which bob bought p001"
    assert shown(shop, answers)[1] == ["p003", "p002", "p000", "p001"], "what sold last, at the model's moment"


def test_a_warm_only_method_gives_unknown_users_nothing() -> None:
    shop = known()
    warm_only = Method("silent", method(shop, neighbours=1.0, live=0.01).scorer, frozen=True, warm_only=True)
    answers = rolled(shop, warm_only)
    assert shown(shop, answers)[0][0] == "p001", "ann is known to the model"
    assert shown(shop, answers)[2] == [], "the other customer was not, and bought only after its moment"
    assert not answers.hits[0, 2].any()


def test_what_was_wholly_returned_does_not_count_as_sold() -> None:
    lines: list[LogLine] = [(8, "a", "ann", 0), (8, "b", None, 1), (9, "c", "ann", 0), (9, "d", "bob", 0)]
    shop = view_at(log_of([*lines, *AFTER], 6, quantity=[1, 1, -1, 1, *[1] * len(AFTER)]), MOMENT_MS)
    counts = shop.live_state((1e12,)).trend(1e12, MOMENT_MS)
    assert dict(zip(shop.log.products, counts.round(3).tolist(), strict=True)) == {
        "p000": 1.0,
        "p001": 1.0,
        **{f"p00{row}": 0.0 for row in range(2, 6)},
    }


def test_only_what_was_sold_within_the_days_is_a_candidate() -> None:
    shop = known([(12, "x", "new", 0), (12.1, "y", "new", 3)])
    late = rolling.evaluate(
        shop, START_MS + 13 * DAY_MS, [method(shop, live=1.0)], EvaluationProtocol(candidate_days=3), "test"
    )
    assert sorted(shown(shop, late)[0]) == ["p002", "p003"]
    assert late.candidates.sum() == 3


def test_static_asks_each_customer_once_for_all_that_follows() -> None:
    shop = known()
    answers = holdout.evaluate(shop, START_MS + 11 * DAY_MS, [method(shop, live=1.0)], EvaluationProtocol())
    assert answers.targets.tolist() == [2, 2]
    assert sorted(answers.gap_ms.tolist()) == [NO_PURCHASE_BEFORE, 2 * DAY_MS]
    assert shown(shop, answers) == [["p003", "p002", "p001"], ["p003", "p002", "p000", "p001"]]
    assert answers.hits[0].sum(axis=1).tolist() == [2, 1]


def test_where_nothing_follows_nothing_is_asked() -> None:
    shop = known([])
    assert len(holdout.evaluate(shop, START_MS + 11 * DAY_MS, [method(shop, live=1.0)], EvaluationProtocol())) == 0
    assert len(rolled(shop, method(shop, live=1.0))) == 0
