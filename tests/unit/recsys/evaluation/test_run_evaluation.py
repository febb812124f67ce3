"""Evaluation as a step of a run: chosen, compared and refused on shops whose best configuration is known."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys.als_settings import AlsSettings, EvaluationSettings
from recsys.basket_weights import DEFAULT_BASKET
from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.evaluation import methods
from recsys.evaluation.gate import CANDIDATE, LIVE, POPULARITY
from recsys.evaluation.methods import DEFAULT, ModelConfig
from recsys.evaluation.purchase_log import PurchaseLog
from recsys.evaluation.run_evaluation import Evaluation, EvaluationResult, config_of, windows_of
from recsys.evaluation.weight_candidates import personalises, popularity_only
from recsys.model_format import Manifest, read_manifest
from recsys.score_weights import DecayTerm, ScoreWeights
from tests.support.evaluation_methods import BASELINE_NAMES
from tests.support.purchase_log import START_MS, log_of, two_worlds

SMALL = AlsSettings(rank=4, regularisation=1.0, alpha=10.0, iterations=4, seed=1, blocks=1)
OTHER = AlsSettings(rank=3, regularisation=1.0, alpha=10.0, iterations=4, seed=1, blocks=1)
QUICK = EvaluationSettings(search_candidates=0, search_days=8, gate_days=8, gate_questions=50)
PERSONAL = ScoreWeights(live=0.01, neighbours=1.0, trends=(DecayTerm(24.0, 1.0),))
POPULAR = ScoreWeights(live=0.01, trends=(DecayTerm(24.0, 1.0),))


def made_by(weights: ScoreWeights, als: AlsSettings = SMALL) -> ModelConfig:
    return ModelConfig(als, weights, popularity_only(weights))


def evaluated(
    log: PurchaseLog, folder: Path, live: ModelConfig | None = None, settings: EvaluationSettings = QUICK
) -> EvaluationResult:
    return Evaluation(log, settings, SMALL, live, baseline=SMALL).run(folder)


def refusals(found: EvaluationResult) -> dict[str, str | None]:
    return {result.name: result.refused for result in found.decision.results}


def test_where_customers_keep_to_their_world_the_personal_configuration_wins(tmp_path: Path) -> None:
    found = evaluated(two_worlds(500, seed=2), tmp_path)
    assert (found.decision.winner, found.config.weights) == (CANDIDATE, DEFAULT)
    assert found.metrics["warm"]["hr@3"][0] > 0.3
    assert found.metrics["protocol"] == "rolling"


def test_plant_customers_permuted_among_the_orders(tmp_path: Path) -> None:
    """What sells stays as it is and nothing personal is left: what serves is refused, and popular products win."""
    found = evaluated(two_worlds(500, seed=2, permuted=True), tmp_path, live=made_by(PERSONAL))
    assert found.decision.winner == POPULARITY
    assert not personalises(found.config.weights)
    for name in (LIVE, CANDIDATE):
        assert "too little speaks for its being better than popular products" in (refusals(found)[name] or "")
    assert "was refused" in found.decision.reason
    assert found.decision.verdict == "published", "something always serves"


def test_plant_the_record_says_why_nothing_personal_was_chosen(tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"search_candidates": 12})
    found = evaluated(two_worlds(500, seed=2, permuted=True), tmp_path, settings=settings)
    assert "popular products" in (refusals(found)[CANDIDATE] or "")
    assert found.decision.winner == POPULARITY
    assert sum(found.search["tried"].values()) >= 15


def test_each_configuration_is_fitted_with_its_own_settings(tmp_path: Path) -> None:
    evaluated(two_worlds(300, seed=2), tmp_path, live=made_by(PERSONAL, OTHER))
    fitted = {file.name.split("-")[1] for file in tmp_path.iterdir()}
    assert fitted == {"rank4", "rank3"}


def test_purchases_after_the_split_do_not_change_the_candidate(tmp_path: Path) -> None:
    log, settings = two_worlds(300, seed=3), QUICK.model_copy(update={"search_candidates": 12})
    split = windows_of(log, settings).split
    rows = log.rows.copy()
    rows[log.at(split) :] = 0
    other = PurchaseLog(log.at_ms, log.orders, log.customers, rows, log.quantity, log.users, log.products, log.category)
    ours, theirs = (evaluated(each, tmp_path / name, settings=settings) for each, name in ((log, "a"), (other, "b")))
    starts = [[trial for trial in each.search["trials"] if trial["stage"] == "factors"] for each in (ours, theirs)]
    assert starts[0] == starts[1] != []


def test_where_bought_products_are_shown_again_they_are_to_be_found(tmp_path: Path) -> None:
    again = ScoreWeights(live=0.01, neighbours=1.0, repeats=0.1, mask_bought=False, trends=(DecayTerm(24.0, 1.0),))
    found = evaluated(two_worlds(300, seed=2), tmp_path, live=made_by(again))
    assert found.document is not None
    assert found.document["judged_by"] == "repeats"
    assert found.document["repeats"]["warm"]["questions"] > found.document["rolling"]["warm"]["questions"]


@pytest.mark.parametrize("live", [None, made_by(PERSONAL, OTHER)])
def test_too_little_decides_nothing_and_says_so(live: ModelConfig | None, tmp_path: Path) -> None:
    found = evaluated(two_worlds(20, seed=2), tmp_path, live=live)
    assert found.config == replace(live or made_by(DEFAULT), basket=DEFAULT_BASKET)
    assert found.decision.winner == (LIVE if live else CANDIDATE)
    assert found.decision.reason.startswith("Too few purchases to compare configurations")
    assert (found.document, found.page, found.metrics) == (None, None, {})


def test_a_single_purchase_is_too_little(tmp_path: Path) -> None:
    found = evaluated(log_of([(0, "a", "ann", 0)], 1), tmp_path)
    assert found.decision.reason.startswith("Too few")


def test_metrics_and_page_are_whole(tmp_path: Path) -> None:
    found = evaluated(two_worlds(300, seed=2), tmp_path, live=made_by(PERSONAL))
    document = json.loads(json.dumps(found.document))
    assert {CANDIDATE, LIVE, POPULARITY, methods.COMPOSED, *BASELINE_NAMES} == set(
        document["rolling"]["all"]["methods"]
    )
    page = found.page or ""
    assert "Would our recommendations have been bought?" in page
    assert all(
        words in page
        for words in ("the new configuration", "the live configuration", "best sellers, new configuration")
    )


def test_spans_never_take_more_than_a_quarter() -> None:
    log = log_of([(0, "a", "ann", 0), (40, "b", "ann", 0)], 1)
    windows = windows_of(log, EvaluationSettings(search_days=14, gate_days=2))
    assert windows.until == START_MS + 40 * DAY_MS + 1
    assert windows.until - windows.split == 2 * DAY_MS
    assert windows.split - windows.search == 10 * DAY_MS


def test_a_line_of_a_later_year_moves_no_span() -> None:
    hourly = [(number / 24, f"o{number}", "ann", 0) for number in range(40 * 24)]
    settings = EvaluationSettings(search_days=14, gate_days=2)
    later = log_of([*hourly, (2000, "o-later", "bob", 0)], 1)
    assert windows_of(later, settings) == windows_of(log_of(hourly, 1), settings)
    assert windows_of(later, settings).until == START_MS + 40 * DAY_MS - HOUR_MS + 1


def manifest_of(settings: dict[str, Any]) -> Manifest:
    """The manifest of a model with the weights of PERSONAL, and these settings."""
    document = {
        "format_version": 2,
        "version": "v",
        "created_at": "2020-05-01T00:00:00Z",
        "users": 1,
        "items": 1,
        "files": [],
        "rank": 2,
        "training": {"to": "2020-05-01T00:00:00Z"},
        "settings": settings,
        "composition": {"neighbours": 1.0, "trends": [{"half_life_h": 24.0, "weight": 1.0}], "live": 0.01},
    }
    return read_manifest(json.dumps(document).encode())


def test_a_manifest_gives_its_configuration_back() -> None:
    assert config_of(manifest_of({**SMALL.model_dump(), "time_zone": "UTC"})) == made_by(PERSONAL)


def test_a_manifest_without_all_settings_of_training_has_no_configuration() -> None:
    assert config_of(manifest_of({"regularisation": 1.0, "alpha": 40.0})) is None
