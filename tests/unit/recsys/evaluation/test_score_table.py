"""The score table: a trial on it gives the same figures as the serving scorer's answers."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from recsys.als_settings import AlsSettings
from recsys.decayed_counts import DAY_MS
from recsys.evaluation import holdout, rolling
from recsys.evaluation.metrics import groups, values
from recsys.evaluation.rolling import Answers, EvaluationProtocol, Method
from recsys.evaluation.score_table import HALF_LIVES_H, ScoreTable
from recsys.evaluation.score_table_builder import tabulate, tabulate_holdout
from recsys.evaluation.training_view import TrainingView, view_at
from recsys.score_weights import DecayTerm, ScoreWeights
from recsys.scorer import ComposedScorer, TrainedParts
from recsys.topk import Float32s
from tests.support.purchase_log import START_MS, two_worlds

MOMENT_MS, END_MS = START_MS + 20 * DAY_MS, START_MS + 30 * DAY_MS
ALS = AlsSettings(rank=4, regularisation=0.1, alpha=5.0, iterations=1, seed=1, blocks=1)
EVERYTHING = ScoreWeights(
    factors=0.3,
    popularity=0.02,
    live=0.05,
    neighbours=1.0,
    categories=0.4,
    trends=(DecayTerm(6.0, 1.0), DecayTerm(168.0, 0.2)),
    baseline_trends=(DecayTerm(720.0, 0.02),),
    recency=(DecayTerm(72.0, 1.0), DecayTerm(1.0, 0.5)),
    factor_decay=(DecayTerm(24.0, 0.7), DecayTerm(1e6, 0.3)),
    shrink=3.0,
    balance=0.3,
)
COMPOSITIONS = {
    "everything": EVERYTHING,
    **{
        f"without {part}": msgspec.structs.replace(EVERYTHING, **{part: type(getattr(EVERYTHING, part))()})
        for part in ("factors", "popularity", "live", "neighbours", "categories", "baseline_trends", "factor_decay")
    },
    "another balance": msgspec.structs.replace(EVERYTHING, shrink=30.0, balance=0.7),
    "another trend": msgspec.structs.replace(EVERYTHING, trends=(DecayTerm(24.0, 1.0),), live=0.5),
    "only soon after a purchase": msgspec.structs.replace(EVERYTHING, personal_days=2),
    "older purchases": msgspec.structs.replace(EVERYTHING, recency=(DecayTerm(1000.0, 1.0),)),
}


def known() -> tuple[TrainingView, TrainedParts]:
    shop = view_at(two_worlds(300, seed=4), MOMENT_MS)
    factors: Float32s = np.random.default_rng(1).normal(size=(shop.scored, 4)).astype(np.float32)
    return shop, shop.trained_parts(factors, ALS, shop.popularity())


@pytest.fixture(scope="module")
def both() -> tuple[Answers, tuple[ScoreTable, ScoreTable]]:
    """The scorer's answers with all weights, and the tables of the same orders."""
    shop, trained = known()
    methods = [Method(name, ComposedScorer(trained, weights)) for name, weights in COMPOSITIONS.items()]
    answers = rolling.evaluate(shop, END_MS, methods, EvaluationProtocol(), "test")
    return answers, tabulate(shop, END_MS, {"one": trained}, shares=(1.0, 1.0), seed=1)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_a_trial_gives_what_the_scorer_s_answers_give(
    name: str, both: tuple[Answers, tuple[ScoreTable, ScoreTable]]
) -> None:
    answers, tables = both
    place, found = answers.methods.index(name), values(answers)
    for table, group in zip(tables, ("warm", "cold"), strict=True):
        chosen = groups(answers)[group]
        figures = table.values(COMPOSITIONS[name], "one")
        assert table.asked == chosen.sum() > 50
        assert figures["ndcg@10"] > 0.02
        for metric, figure in figures.items():
            assert figure == pytest.approx(found[metric][place, chosen].mean(), abs=1e-9), (group, metric)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_so_it_does_for_holdout_questions(name: str) -> None:
    shop, trained = known()
    method = Method(name, ComposedScorer(trained, COMPOSITIONS[name]))
    answers = holdout.evaluate(shop, END_MS, [method], EvaluationProtocol(who="warm"))
    table = tabulate_holdout(shop, END_MS, {"one": trained}, share=1.0, seed=1)
    assert table.asked == len(answers) > 20
    for metric, figure in table.values(COMPOSITIONS[name], "one").items():
        assert figure == pytest.approx(values(answers)[metric].mean(), abs=1e-9), metric


def test_the_share_of_the_orders_is_asked_and_the_others_are_left_for_the_scorer() -> None:
    shop, trained = known()
    whole, _ = tabulate(shop, END_MS, {"one": trained}, shares=(1.0, 1.0), seed=1)
    some, none = tabulate(shop, END_MS, {"one": trained}, shares=(0.3, 0.0), seed=1)
    assert 0.2 * whole.asked < some.asked < 0.4 * whole.asked
    assert none.asked == len(none.rows) == 0
    rest = rolling.evaluate(
        shop,
        END_MS,
        [Method("one", ComposedScorer(trained, EVERYTHING))],
        EvaluationProtocol(who="warm", skip=0.3, sample=1.0, seed=1),
        "test",
    )
    assert len(rest) == whole.asked - some.asked


def test_models_are_distinguished_and_other_half_lives_are_possible() -> None:
    shop, trained = known()
    other = shop.trained_parts(-trained.item_factors[::-1], ALS, shop.popularity())
    table, _ = tabulate(
        shop, END_MS, {"one": trained, "other": other}, half_lives_h=(*HALF_LIVES_H, 5.0), shares=(1.0, 0.0), seed=1
    )
    odd = ScoreWeights(factors=1.0, live=0.1, trends=(DecayTerm(5.0, 1.0),))
    assert table.values(odd, "one") != table.values(odd, "other")


def test_where_nothing_can_be_found_there_is_nothing() -> None:
    shop, trained = known()
    warm, cold = tabulate(shop, shop.moment_ms, {"one": trained}, shares=(1.0, 1.0), seed=1)
    assert warm.values(EVERYTHING, "one") == cold.values(EVERYTHING, "one") == {"hr@3": 0.0, "ndcg@10": 0.0}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_the_parts_of_a_table_give_the_figures_of_their_questions(
    name: str, both: tuple[Answers, tuple[ScoreTable, ScoreTable]]
) -> None:
    """All questions but one in three have no hit in a table whose other hits are gone: so the part says the same."""
    table = both[1][0]
    part = table.part(3)
    question, place = table.hits
    left = question % 3 == 0
    alone = replace(table, asked=part.asked, hits=(question[left], place[left]))
    assert len(part) == -(-len(table) // 3) > 10
    assert part.values(COMPOSITIONS[name], "one") == pytest.approx(alone.values(COMPOSITIONS[name], "one"), abs=1e-12)
