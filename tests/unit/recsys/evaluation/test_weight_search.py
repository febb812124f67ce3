"""The weight search on shops whose best weights are known."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from recsys.als_settings import AlsSettings
from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.evaluation import methods, rolling
from recsys.evaluation.methods import COMPOSED, POPULAR_LIVE, FactorCache, ModelConfig
from recsys.evaluation.metrics import groups, values
from recsys.evaluation.purchase_log import PurchaseLog
from recsys.evaluation.rolling import EvaluationProtocol, Method
from recsys.evaluation.search_trials import FEWEST, ROUND, Stage
from recsys.evaluation.search_window import QuestionLimits, SearchWindow
from recsys.evaluation.training_view import view_at
from recsys.evaluation.weight_candidates import (
    mutate_all,
    mutate_personal,
    mutate_popularity,
    offline_starts,
    popularity_only,
    repeat_starts,
    with_offline_weights,
)
from recsys.evaluation.weight_search import Choice, choose
from recsys.score_weights import DecayTerm, ScoreWeights
from recsys.scorer import ComposedScorer
from tests.support.purchase_log import START_MS, two_worlds

VALIDATION_MS, SPLIT_MS, END_MS = (START_MS + day * DAY_MS for day in (20, 28, 36))
SMALL = AlsSettings(rank=4, regularisation=1.0, alpha=10.0, iterations=4, seed=1, blocks=1)


def chosen(log: PurchaseLog, folder: Path, seed: int = 1) -> Choice:
    """The starts of each stage, and no round more."""
    window = SearchWindow(view_at(log, VALIDATION_MS), SPLIT_MS, sample=1.0, seed=seed)
    return choose([window], FactorCache(folder), candidates=0, als_settings=[SMALL])


def lift(log: PurchaseLog, choice: Choice, folder: Path) -> float:
    """How many times the hits of live popularity the chosen weights find for warm customers after the split."""
    known = view_at(log, SPLIT_MS)
    compared = methods.methods(known, choice.config, FactorCache(folder), live=True, baseline=SMALL)
    answers = rolling.evaluate(known, END_MS, compared, rolling.EvaluationProtocol(), "test")
    warm = values(answers)["hr@3"][:, groups(answers)["warm"]].mean(axis=1)
    return float(warm[answers.methods.index(COMPOSED)] / warm[answers.methods.index(POPULAR_LIVE)])


def test_where_customers_keep_to_their_world_personal_weights_are_chosen_and_pay(tmp_path: Path) -> None:
    log = two_worlds(400, seed=2)
    choice = chosen(log, tmp_path)
    assert choice.config.weights.neighbours or choice.config.weights.factors
    assert lift(log, choice, tmp_path) > 1.2


def test_where_nothing_is_personal_nothing_is_gained(tmp_path: Path) -> None:
    log = two_worlds(400, seed=2, permuted=True)
    choice = chosen(log, tmp_path)
    assert choice.config.weights.neighbours == choice.config.weights.factors == 0, "popular products it is"
    assert lift(log, choice, tmp_path) < 1.1


def test_purchases_after_the_split_do_not_change_the_choice(tmp_path: Path) -> None:
    log = two_worlds(150, seed=3)
    rows = log.rows.copy()
    rows[log.at(SPLIT_MS) :] = 0
    ours, theirs = chosen(log, tmp_path / "a"), chosen(replace(log, rows=rows), tmp_path / "b")
    assert ours.config == theirs.config
    assert ours.trials == theirs.trials


def test_a_shop_without_newcomers_chooses_what_is_popular_by_its_regulars(tmp_path: Path) -> None:
    log = two_worlds(300, seed=6, last_start=19.0)
    # From day 20 on everybody who comes back buys what sold last, hour by hour another product.
    rows = log.rows.copy()
    late = np.arange(log.at(VALIDATION_MS), len(log))
    rows[late] = (log.at_ms[late] // (6 * HOUR_MS)) % 40
    window = SearchWindow(view_at(replace(log, rows=rows), VALIDATION_MS), SPLIT_MS, sample=1.0, seed=1)
    assert window.newcomers == 0
    trials = chosen(replace(log, rows=rows), tmp_path).trials
    popular = [trial for trial in trials if trial.stage == "strangers"]
    assert all(trial.figures["hr@3"] > 0 for trial in popular)
    values_of = {trial.weights.trends[0].half_life_h: trial.value for trial in popular[:4]}
    assert values_of[2.0] > values_of[168.0]


def test_the_record_gives_the_configuration_back(tmp_path: Path) -> None:
    choice = chosen(two_worlds(60, seed=4), tmp_path)
    record = msgspec.json.decode(msgspec.json.encode(choice.record()))
    assert ModelConfig.read(record) == choice.config
    tried = {"strangers": 7, "factors": 11, "personal": 11, "finals": 4, "repeats": 5, "still": 64}
    assert record["tried"] == tried
    assert {trial["stage"] for trial in record["trials"]} == set(record["tried"])


def test_the_search_tries_as_many_candidates_as_it_is_given(tmp_path: Path) -> None:
    window = SearchWindow(view_at(two_worlds(60, seed=4), VALIDATION_MS), SPLIT_MS, sample=1.0, seed=1)
    found = choose([window], FactorCache(tmp_path), candidates=40, als_settings=[SMALL])
    assert (found.tried["strangers"], found.tried["personal"]) == (7 + 10, 11 + 30)


CHOOSE = """
import json, sys, tempfile
from pathlib import Path
from tests.unit.recsys.evaluation.test_weight_search import SMALL, SPLIT_MS, VALIDATION_MS, two_worlds
from recsys.evaluation.methods import FactorCache
from recsys.evaluation.search_window import SearchWindow
from recsys.evaluation.training_view import view_at
from recsys.evaluation.weight_search import choose
window = SearchWindow(view_at(two_worlds(150, seed=4), VALIDATION_MS), SPLIT_MS, sample=1.0, seed=1)
als = [SMALL.model_copy(update={"rank": 32})]
with tempfile.TemporaryDirectory() as folder:
    print(json.dumps(choose([window], FactorCache(Path(folder)), candidates=54, als_settings=als).record()))
"""


def test_threads_and_hashes_do_not_change_the_choice() -> None:
    environments = [
        {**os.environ, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": hashes}
        for threads, hashes in (("1", "1"), ("2", "2"))
    ]
    first, second = (
        subprocess.run([sys.executable, "-c", CHOOSE], env=environment, capture_output=True, check=True, text=True)
        for environment in environments
    )
    assert json.loads(first.stdout)["trials"], first.stderr
    assert first.stdout == second.stdout


class LiveValues:
    """A table whose trials reach these values by their `live` weight; others reach the weight itself.

    Each part adds its own values; `asked` counts the trials by the step of the part.
    """

    def __init__(
        self, values: dict[float, float], questions: int = 0, asked: Counter[int] | None = None, step: int = 1
    ) -> None:
        self._values = values
        self._questions = questions
        self.asked: Counter[int] = Counter() if asked is None else asked
        self._step = step

    def __len__(self) -> int:
        return self._questions

    def part(self, step: int, /) -> "LiveValues":
        return LiveValues(self._values, self._questions // step, self.asked, step)

    def values(self, weights: ScoreWeights, model: str, /) -> dict[str, float]:
        self.asked[self._step] += 1
        return {"hr@3": self._values.get(weights.live, weights.live), "ndcg@10": 0.0}


def stage_of(values: dict[float, float]) -> Stage:
    """A stage that started with these `live` weights."""
    stage = Stage("personal", LiveValues(values), "0", SMALL)
    stage.try_all([ScoreWeights(live=live) for live in values])
    return stage


def test_leaders_are_mutated_and_what_is_better_leads() -> None:
    stage = stage_of({0.1: 0.1, 0.5: 0.5, 0.3: 0.3, 0.2: 0.2, 0.4: 0.4})
    changed: list[float] = []

    def mutate(parent: ScoreWeights, _: np.random.Generator) -> ScoreWeights:
        changed.append(parent.live)
        return msgspec.structs.replace(parent, live=0.6) if len(changed) == ROUND else ScoreWeights(live=0.0)

    stage.random_search((), mutate, np.random.default_rng(1), 2 * ROUND)
    assert set(changed[:ROUND]) == {0.5, 0.4, 0.3, 0.2}, "the best four"
    assert set(changed[ROUND:]) == {0.6, 0.5, 0.4, 0.3}
    assert stage.best.weights.live == 0.6


def test_most_candidates_of_a_large_table_are_asked_few_questions() -> None:
    table = LiveValues({}, questions=9 * FEWEST)
    stage = Stage("personal", table, "0", SMALL)
    drawn = iter(range(ROUND))
    stage.random_search(
        [ScoreWeights(live=0.5)],
        lambda parent, _: ScoreWeights(live=float(next(drawn))),
        np.random.default_rng(1),
        ROUND,
    )
    assert table.asked == {9: 27, 3: 9, 1: 1 + 3}
    assert [trial.weights.live for trial in stage.trials[1:]] == [26.0, 25.0, 24.0], "the best of every part"
    assert stage.tried == 1 + ROUND


def test_the_record_keeps_the_starts_and_what_was_better_than_all_before() -> None:
    stage = stage_of({0.3: 0.3, 0.2: 0.2})
    for live in (0.1, 0.4, 0.4, 0.35, 0.5):
        stage.add(ScoreWeights(live=live), {"hr@3": live, "ndcg@10": 0.0})
    assert [trial.weights.live for trial in stage.notable] == [0.3, 0.2, 0.4, 0.5]


def test_a_given_configuration_is_among_the_first_tried(tmp_path: Path) -> None:
    log = two_worlds(60, seed=4)
    window = SearchWindow(view_at(log, VALIDATION_MS), SPLIT_MS, sample=1.0, seed=1)
    given = ScoreWeights(live=0.3, neighbours=0.7, trends=(DecayTerm(5.0, 1.0),), shrink=4.0)
    start = ModelConfig(SMALL, given, ScoreWeights(live=1.0))
    trials = choose([window], FactorCache(tmp_path), candidates=0, als_settings=[SMALL], start=start).trials
    assert given in [trial.weights for trial in trials if trial.stage == "personal"]
    popular = [trial.weights for trial in trials if trial.stage == "strangers"]
    assert msgspec.structs.replace(given, neighbours=0.0) in popular


def test_where_a_trend_does_not_predict_the_next_weeks_the_offline_weights_are_slow(
    tmp_path: Path,
) -> None:
    log = two_worlds(300, seed=6)
    # On the eve of the window everybody buys the last product; afterwards nobody does.
    rows = log.rows.copy()
    rows[log.at(VALIDATION_MS - HOUR_MS * 12) : log.at(VALIDATION_MS)] = 39
    later = np.arange(log.at(VALIDATION_MS), len(log))
    rows[later] = np.minimum(rows[later], 38)
    window = SearchWindow(view_at(replace(log, rows=rows), VALIDATION_MS), SPLIT_MS, sample=1.0, seed=1)
    choice = choose([window], FactorCache(tmp_path), candidates=0, als_settings=[SMALL])
    trials = [trial for trial in choice.trials if trial.stage == "still"]
    best, still = max(trials, key=lambda trial: trial.value), choice.config.weights.offline_weights
    assert still is not None
    assert best.value > trials[0].value, "the streaming weights are among the tried"
    assert still == with_offline_weights(choice.config.weights, best.weights).offline_weights


def test_unknown_users_get_popular_products_with_offline_weights_too() -> None:
    moving = ScoreWeights(live=0.02, neighbours=1.0)
    assert all(one.live > 0 and one.trends for one in map(popularity_only, offline_starts(moving)))
    assert len({str(one) for one in offline_starts(moving)}) == 1 + 3 + 4 * 15


def test_purchased_products_are_shown_again_with_both_weights_or_with_none() -> None:
    moving = ScoreWeights(live=2.0, neighbours=0.5, mask_bought=False, repeats=6.0)
    still = with_offline_weights(moving, ScoreWeights(factors=0.5, live=0.1)).offline_weights
    assert still == ScoreWeights(factors=0.5, live=0.1, mask_bought=False, repeats=1.5)
    assert with_offline_weights(ScoreWeights(live=1.0), ScoreWeights(live=2.0)).offline_weights == ScoreWeights(
        live=2.0
    )


def test_the_live_model_s_offline_weights_are_among_the_tried(tmp_path: Path) -> None:
    window = SearchWindow(view_at(two_worlds(60, seed=4), VALIDATION_MS), SPLIT_MS, sample=1.0, seed=1)
    before = ScoreWeights(neighbours=0.7, live=0.02, trends=(DecayTerm(99.0, 1.0),))
    start = ModelConfig(SMALL, ScoreWeights(live=1.0, offline_weights=before), ScoreWeights(live=1.0))
    trials = choose([window], FactorCache(tmp_path), candidates=0, als_settings=[SMALL], start=start).trials
    assert before in [trial.weights for trial in trials if trial.stage == "still"]
    assert all(trial.weights.offline_weights is None for trial in trials)


def test_static_uses_the_offline_weights(tmp_path: Path) -> None:
    known, still = view_at(two_worlds(60, seed=4), SPLIT_MS), ScoreWeights(factors=1.0)
    config = ModelConfig(SMALL, ScoreWeights(live=1.0, offline_weights=still), ScoreWeights(live=1.0))
    for live, weights in ((True, config.weights), (False, still)):
        composed = methods.methods(known, config, FactorCache(tmp_path), live=live, baseline=SMALL)[0]
        assert (composed.name, composed.scorer.weights) == (COMPOSED, weights)


def test_the_table_and_the_finals_ask_different_orders(tmp_path: Path) -> None:
    window = SearchWindow(view_at(two_worlds(400, seed=4), VALIDATION_MS), SPLIT_MS, sample=0.5, seed=1)
    trained = FactorCache(tmp_path).trained_parts(window.view, SMALL)
    table, _ = window.table({"0": trained}, [])
    whole = EvaluationProtocol(who="warm", seed=1)
    method = Method("one", ComposedScorer(trained, ScoreWeights(live=1.0)))
    finals, all_of_them = (
        rolling.evaluate(window.view, SPLIT_MS, [method], protocol, "test") for protocol in (window.protocol(), whole)
    )
    assert 0 < table.asked < len(finals), "the sample bounds the table alone"
    assert len(finals) + table.asked == len(all_of_them)


def test_a_large_window_is_asked_up_to_the_limits(tmp_path: Path) -> None:
    view = view_at(two_worlds(400, seed=4), VALIDATION_MS)
    window = SearchWindow(view, SPLIT_MS, sample=1.0, seed=1, limits=QuestionLimits(table=50, final=20))
    warm, cold = window.orders
    assert window.shares == (50 / warm, 50 / cold)
    protocol = window.protocol()
    assert (protocol.skip, protocol.sample) == (50 / warm, 20 / warm)
    trained = FactorCache(tmp_path).trained_parts(window.view, SMALL)
    asked = [table.asked for table in window.table({"0": trained}, [])]
    assert all(0.5 * 50 < one < 1.5 * 50 for one in asked)


def test_a_choice_is_the_same_every_time(tmp_path: Path) -> None:
    log = two_worlds(60, seed=4)
    assert chosen(log, tmp_path) == chosen(log, tmp_path)


def test_bought_products_are_masked_for_all_methods_or_for_none(tmp_path: Path) -> None:
    log = two_worlds(60, seed=4)
    known, choice = view_at(log, SPLIT_MS), chosen(log, tmp_path)
    for mask_bought in (True, False):
        compared = methods.methods(
            known, choice.config, FactorCache(tmp_path), live=True, mask_bought=mask_bought, baseline=SMALL
        )
        assert {method.scorer.weights.mask_bought for method in compared} == {mask_bought}
    assert methods.ALS_FOLDED not in {
        method.name
        for method in methods.methods(known, choice.config, FactorCache(tmp_path), live=False, baseline=SMALL)
    }


def test_factors_to_choose_from_are_written_in_a_line() -> None:
    small, large = methods.als_candidates("8:0.5:40,16:1:10")
    assert (small.rank, small.regularisation, small.alpha) == (8, 0.5, 40.0)
    assert (large.rank, large.regularisation, large.alpha) == (16, 1.0, 10.0)


def test_configurations_are_compared_each_with_its_own_factors(tmp_path: Path) -> None:
    known, other = view_at(two_worlds(60, seed=4), SPLIT_MS), SMALL.model_copy(update={"rank": 2})
    factors, popular = ScoreWeights(factors=1.0), ScoreWeights(live=1.0)
    one, two = methods.compared(
        known,
        {"one": ModelConfig(SMALL, factors, popular), "two": ModelConfig(other, popular, popular)},
        FactorCache(tmp_path),
    )
    assert (one.name, one.scorer.weights, two.name, two.scorer.weights) == ("one", factors, "two", popular)
    history = known.live_state(popular.half_lives_ms).history("u0001")
    assert len(history)
    assert [len(method.scorer.customer(history).vector) for method in (one, two)] == [4, 2]


def test_what_was_fitted_is_read_again(tmp_path: Path) -> None:
    known = view_at(two_worlds(60, seed=4), SPLIT_MS)
    fitted = FactorCache(tmp_path).factors(known, SMALL)
    (kept,) = tmp_path.iterdir()
    np.save(kept, fitted + 1)
    assert FactorCache(tmp_path).factors(known, SMALL) == pytest.approx(fitted + 1)


def test_personal_mutations_keep_the_ranking_for_unknown_users() -> None:
    parent = ScoreWeights(
        live=0.02, popularity=0.01, factors=0.1, neighbours=1.0, baseline_trends=(DecayTerm(720.0, 0.005),)
    )
    draw = np.random.default_rng(1)
    for _ in range(200):
        changed = mutate_personal(parent, draw)
        assert changed.trends == parent.trends
        assert changed.popularity / changed.live == pytest.approx(0.5, rel=0.02), "rounded to three digits"
        assert changed.baseline_trends[0].weight / changed.live == pytest.approx(0.25, rel=0.02)


def test_mutations_of_popularity_are_valid_weights() -> None:
    draw, weights = np.random.default_rng(1), ScoreWeights(live=0.01)
    for _ in range(200):
        weights = mutate_popularity(weights, draw)
        assert 1 <= len(weights.trends) <= 2
    assert weights.neighbours == weights.factors == 0


def test_a_shop_of_regulars_may_move_what_is_popular_too() -> None:
    parent, draw = ScoreWeights(live=0.02, factors=0.1, trends=(DecayTerm(6.0, 1.0),)), np.random.default_rng(1)
    changed = [mutate_all(parent, draw) for _ in range(100)]
    assert any(one.trends != parent.trends for one in changed)
    assert any(one.baseline_trends for one in changed)
    assert any(one.factors != parent.factors for one in changed)


def test_masking_is_the_first_candidate_and_wins_where_repeats_bring_nothing() -> None:
    masked, *shown = repeat_starts(ScoreWeights(neighbours=2.0))
    assert masked.mask_bought
    assert not any(candidate.mask_bought for candidate in shown)
    assert [candidate.repeats for candidate in shown] == [0.0, 0.06, 0.6, 6.0]
