"""The search on shops whose best composition is known."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.recommender.composition import Composition, Fading
from services.recommender.decay import DAY_MS, HOUR_MS
from spark.evaluate import recipes, rolling, search
from spark.evaluate.knowledge import background
from spark.evaluate.log import Log
from spark.evaluate.metrics import groups, values
from spark.evaluate.recipes import COMPOSED, POPULAR_LIVE, Fits, Recipe
from spark.evaluate.search import Choice, Stage, Trial, Window, choose, personal_change, repeating, strangers_change
from spark.settings import AlsSettings
from tests.purchase_log import START_MS, two_worlds

VALIDATION_MS, SPLIT_MS, END_MS = (START_MS + day * DAY_MS for day in (20, 28, 36))
SMALL = AlsSettings(rank=4, regularisation=1.0, alpha=10.0, iterations=4, seed=1, blocks=1)


@pytest.fixture(autouse=True)
def small_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "PREDECESSOR", SMALL)


def chosen(log: Log, folder: Path, seed: int = 1) -> Choice:
    """The starts of each stage, and no round more."""
    window = Window(background(log, VALIDATION_MS), SPLIT_MS, sample=1.0, seed=seed)
    return choose(window, Fits(folder), seconds=0.0, candidates=[SMALL])


def lift(log: Log, choice: Choice, folder: Path) -> float:
    """How many times the hits of live popularity the chosen composition finds for warm customers after the split."""
    known = background(log, SPLIT_MS)
    compared = recipes.methods(known, choice.recipe, Fits(folder), live=True)
    answers = rolling.evaluate(known, END_MS, compared, rolling.Protocol(), "test")
    warm = values(answers)["hr@3"][:, groups(answers)["warm"]].mean(axis=1)
    return float(warm[answers.methods.index(COMPOSED)] / warm[answers.methods.index(POPULAR_LIVE)])


def test_where_customers_keep_to_their_world_a_personal_composition_is_chosen_and_pays(tmp_path: Path) -> None:
    log = two_worlds(400, seed=2)
    choice = chosen(log, tmp_path)
    assert choice.recipe.composition.neighbours or choice.recipe.composition.factors
    assert lift(log, choice, tmp_path) > 1.2


def test_where_nothing_is_personal_nothing_is_gained(tmp_path: Path) -> None:
    log = two_worlds(400, seed=2, permuted=True)
    choice = chosen(log, tmp_path)
    assert choice.recipe.composition.neighbours == choice.recipe.composition.factors == 0, "popular products it is"
    assert lift(log, choice, tmp_path) < 1.1


def test_purchases_after_the_split_do_not_change_the_choice(tmp_path: Path) -> None:
    log = two_worlds(150, seed=3)
    rows = log.rows.copy()
    rows[log.at(SPLIT_MS) :] = 0
    ours, theirs = chosen(log, tmp_path / "a"), chosen(replace(log, rows=rows), tmp_path / "b")
    assert ours.recipe == theirs.recipe
    assert ours.trials == theirs.trials


def test_a_shop_without_newcomers_chooses_what_is_popular_by_its_regulars(tmp_path: Path) -> None:
    log = two_worlds(300, seed=6, last_start=19.0)
    # From day 20 on everybody who comes back buys what sold last, hour by hour another product.
    rows = log.rows.copy()
    late = np.arange(log.at(VALIDATION_MS), len(log))
    rows[late] = (log.at_ms[late] // (6 * HOUR_MS)) % 40
    window = Window(background(replace(log, rows=rows), VALIDATION_MS), SPLIT_MS, sample=1.0, seed=1)
    assert window.newcomers == 0
    trials = [
        trial
        for trial in choose(window, Fits(tmp_path), seconds=0.0, candidates=[SMALL]).trials
        if trial.stage == "strangers"
    ]
    assert all(trial.figures["hr@3"] > 0 for trial in trials)
    values_of = {trial.composition.trends[0].half_life_h: trial.value for trial in trials[:4]}
    assert values_of[2.0] > values_of[168.0]


def test_the_record_gives_the_recipe_back(tmp_path: Path) -> None:
    choice = chosen(two_worlds(60, seed=4), tmp_path)
    record = msgspec.json.decode(msgspec.json.encode(choice.record()))
    assert Recipe.read(record) == choice.recipe
    assert [trial["stage"] for trial in record["trials"]] == (
        ["factors"] + ["strangers"] * 6 + ["personal"] * 8 + ["repeats"] * 5
    )


def test_the_search_climbs_in_rounds_until_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(search, "_now", lambda: float(next(clock)))
    log = two_worlds(60, seed=4)
    window = Window(background(log, VALIDATION_MS), SPLIT_MS, sample=1.0, seed=1)
    stages = [trial.stage for trial in choose(window, Fits(tmp_path), seconds=6.0, candidates=[SMALL]).trials]
    # The clock is asked once at the start and once before each round: rounds begin at 1, and at 3, 4 and 5.
    assert (stages.count("strangers"), stages.count("personal")) == (6 + 8, 8 + 3 * 8)


def test_a_round_changes_the_best_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = two_worlds(60, seed=4)
    window = Window(background(log, VALIDATION_MS), SPLIT_MS, sample=1.0, seed=1)
    stage = Stage("personal", "warm", window.protocol(), window)
    stage.trials = [Trial("personal", Composition(live=value), SMALL, value, {}) for value in (0.1, 0.5, 0.3, 0.2, 0.4)]
    assert stage.best.value == 0.5
    clock, tried = iter((0.0, 9.0)), list[float]()
    monkeypatch.setattr(search, "_now", lambda: next(clock))
    monkeypatch.setattr(stage, "try_all", lambda _k, _a, some: tried.extend(one.live for one in some))
    knowledge = Fits(tmp_path).knowledge(window.background, SMALL)
    stage.climb(knowledge, SMALL, (), lambda parent, _: parent, np.random.default_rng(1), until=5.0)
    assert tried == [0.5, 0.4, 0.3, 0.5, 0.4, 0.3, 0.5, 0.4]


def test_a_choice_is_the_same_every_time(tmp_path: Path) -> None:
    log = two_worlds(60, seed=4)
    assert chosen(log, tmp_path) == chosen(log, tmp_path)


def test_bought_products_are_masked_for_all_methods_or_for_none(tmp_path: Path) -> None:
    log = two_worlds(60, seed=4)
    known, choice = background(log, SPLIT_MS), chosen(log, tmp_path)
    for mask_bought in (True, False):
        compared = recipes.methods(known, choice.recipe, Fits(tmp_path), live=True, mask_bought=mask_bought)
        assert {method.scorer.composition.mask_bought for method in compared} == {mask_bought}
    assert recipes.ALS_FOLDED not in {
        method.name for method in recipes.methods(known, choice.recipe, Fits(tmp_path), live=False)
    }


def test_what_was_fitted_is_read_again(tmp_path: Path) -> None:
    known = background(two_worlds(60, seed=4), SPLIT_MS)
    fitted = Fits(tmp_path).factors(known, SMALL)
    (kept,) = tmp_path.iterdir()
    np.save(kept, fitted + 1)
    assert Fits(tmp_path).factors(known, SMALL) == pytest.approx(fitted + 1)


def test_personal_changes_leave_strangers_what_they_get() -> None:
    parent = Composition(live=0.02, popularity=0.01, factors=0.1, neighbours=1.0, trends=(Fading(6.0, 1.0),))
    draw = np.random.default_rng(1)
    for _ in range(200):
        changed = personal_change(parent, draw)
        assert changed.trends == parent.trends
        assert changed.popularity / changed.live == pytest.approx(0.5)


def test_changes_of_what_strangers_get_are_compositions() -> None:
    draw, composition = np.random.default_rng(1), Composition(live=0.01)
    for _ in range(200):
        composition = strangers_change(composition, draw)
        assert 1 <= len(composition.trends) <= 2
    assert composition.neighbours == composition.factors == 0


def test_masking_is_the_first_candidate_and_wins_where_repeats_bring_nothing() -> None:
    masked, *shown = repeating(Composition(neighbours=2.0))
    assert masked.mask_bought
    assert not any(candidate.mask_bought for candidate in shown)
    assert [candidate.repeats for candidate in shown] == [0.0, 0.06, 0.6, 6.0]
