"""The gate's decision on answers with known hit rates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from recsys.decayed_counts import DAY_MS
from recsys.evaluation.gate import (
    CANDIDATE,
    LIVE,
    MIN_DAYS,
    POPULARITY,
    RULE,
    GateDecision,
    ModelCheck,
    decide,
    too_few,
    too_little,
)
from recsys.evaluation.rolling import NO_PURCHASE_BEFORE, Answers, K
from recsys.evaluation.weight_candidates import personalises, popularity_only
from recsys.score_weights import DecayTerm, ScoreWeights

PERSONAL = ScoreWeights(live=0.01, neighbours=1.0)
POPULAR = ScoreWeights(live=0.01)
DAYS = 14


def answers(
    hit_rates: Mapping[str, tuple[float, float]], per_day: int = 40, days: int = DAYS, seed: int = 1
) -> Answers:
    """Answers whose first product was bought with the chance of each method, (warm, cold): half of the questions each.

    All methods meet the same luck, so that their differences are those of their chances.
    """
    questions = per_day * days
    warm, luck = np.arange(questions) % 2 == 0, np.random.default_rng(seed).random(questions)
    hits = np.zeros((len(hit_rates), questions, K), np.bool_)
    for place, (known, new) in enumerate(hit_rates.values()):
        hits[place, :, 0] = luck < np.where(warm, known, new)
    return Answers(
        methods=tuple(hit_rates),
        at_ms=np.arange(questions, dtype=np.int64) // per_day * DAY_MS,
        gap_ms=np.where(warm, DAY_MS, NO_PURCHASE_BEFORE),
        targets=np.ones(questions, np.int64),
        shown=np.zeros(hits.shape, np.int32),
        hits=hits,
        candidates=np.ones(10, np.bool_),
    )


def decided(found: Answers, **compositions: ScoreWeights) -> GateDecision:
    return decide(found, {POPULARITY: POPULAR, **compositions})


def refused(decision: GateDecision) -> dict[str, str | None]:
    return {result.name: result.refused for result in decision.results}


def test_the_best_that_is_not_refused_wins() -> None:
    found = answers({CANDIDATE: (0.6, 0.3), LIVE: (0.5, 0.3), POPULARITY: (0.3, 0.3)})
    decision = decided(found, candidate=PERSONAL, live=PERSONAL)
    assert (decision.winner, decision.verdict) == (CANDIDATE, "published")
    assert refused(decision) == {LIVE: None, POPULARITY: None, CANDIDATE: None}


def test_a_configuration_worse_than_the_live_one_is_refused() -> None:
    found = answers({CANDIDATE: (0.45, 0.3), LIVE: (0.6, 0.3), POPULARITY: (0.2, 0.3)})
    decision = decided(found, candidate=PERSONAL, live=PERSONAL)
    assert decision.winner == LIVE
    assert (refused(decision)[CANDIDATE] or "").startswith("It is significantly worse than the live configuration")
    candidate = next(each for each in decision.results if each.name == CANDIDATE)
    assert candidate.against_live is not None
    assert candidate.against_live.high < 0


def test_what_does_not_differ_significantly_from_the_live_configuration_is_not_refused() -> None:
    found = answers({CANDIDATE: (0.599, 0.3), LIVE: (0.6, 0.3), POPULARITY: (0.2, 0.3)})
    decision = decided(found, candidate=PERSONAL, live=PERSONAL)
    assert refused(decision)[CANDIDATE] is None
    assert decision.winner == LIVE, "what serves stays unless something is better"


@pytest.mark.parametrize("known", [0.3, 0.2, 0.302])
def test_a_personal_configuration_without_a_lift_for_known_customers_is_refused(known: float) -> None:
    found = answers({CANDIDATE: (known, 0.9), POPULARITY: (0.3, 0.3)})
    decision = decided(found, candidate=PERSONAL)
    assert decision.winner == POPULARITY
    assert "too little speaks for its being better than popular products" in (refused(decision)[CANDIDATE] or "")
    assert "was refused" in decision.reason


def test_a_configuration_of_popular_products_needs_no_lift_over_them() -> None:
    found = answers({CANDIDATE: (0.3, 0.4), POPULARITY: (0.3, 0.3)})
    decision = decided(found, candidate=msgspec.structs.replace(POPULAR, trends=(DecayTerm(1.0, 1.0),)))
    assert decision.winner == CANDIDATE


def test_popular_products_are_never_refused_so_that_something_is_left() -> None:
    """The live one is far better for unknown users, without a lift for those who bought: only popular ones are left."""
    found = answers({CANDIDATE: (0.1, 0.1), LIVE: (0.3, 0.9), POPULARITY: (0.3, 0.3)})
    decision = decided(found, candidate=PERSONAL, live=PERSONAL)
    assert decision.winner == POPULARITY
    assert [name for name, reason in refused(decision).items() if reason] == [LIVE, CANDIDATE]


def test_among_equals_the_simpler_one_wins() -> None:
    found = answers({CANDIDATE: (0.3, 0.3), POPULARITY: (0.3, 0.3)})
    assert decided(found, candidate=POPULAR).winner == POPULARITY


def test_days_are_drawn_not_questions() -> None:
    """One day of luck among fourteen is no lift, however many questions it had."""
    found = answers({CANDIDATE: (0.3, 0.3), POPULARITY: (0.3, 0.3)}, per_day=200)
    hits = found.hits.copy()
    hits[0, :200, 0] = True
    decision = decided(replace(found, hits=hits), candidate=PERSONAL)
    assert decision.winner == POPULARITY


def test_the_record_holds_rule_numbers_and_checks() -> None:
    found = answers({CANDIDATE: (0.6, 0.3), LIVE: (0.5, 0.3), POPULARITY: (0.3, 0.3)})
    record = decided(found, candidate=PERSONAL, live=PERSONAL).record("v")
    assert (record["version"], record["verdict"], record["winner"], record["rule"]) == (
        "v",
        "published",
        CANDIDATE,
        RULE,
    )
    by_name = {config["name"]: config for config in record["recipes"]}
    assert by_name[LIVE]["against_live"] is None
    assert by_name[POPULARITY]["against_popularity"] is None
    low, high = by_name[CANDIDATE]["against_popularity"][1:]
    assert 0 < low < by_name[CANDIDATE]["against_popularity"][0] < high
    value, low, high = by_name[CANDIDATE]["figures"]["warm"]["hr@3"]
    assert low < value < high
    assert value == pytest.approx(0.6, abs=0.1)
    assert msgspec.json.decode(msgspec.json.encode(record)) == record


def checks(*passed: bool) -> Sequence[ModelCheck]:
    return [ModelCheck(f"check {place}", good, f"what was found at {place}") for place, good in enumerate(passed)]


def test_a_failed_check_refuses_whatever_won() -> None:
    decision = decided(answers({POPULARITY: (0.3, 0.3)}))
    assert decision.with_checks(checks(True, True)).verdict == "published"
    failed = decision.with_checks(checks(True, False, False))
    assert (failed.verdict, failed.reason) == ("refused", "The model was not published: what was found at 1.")


def test_what_is_personal_is_what_looks_at_purchases() -> None:
    whole = ScoreWeights(factors=1.0, neighbours=1.0, categories=1.0, repeats=1.0, live=0.5, popularity=0.2)
    assert not personalises(popularity_only(whole))
    for part in ("factors", "neighbours", "categories", "repeats"):
        assert personalises(msgspec.structs.replace(POPULAR, **{part: 0.1}))


def test_few_questions_or_days_decide_nothing() -> None:
    assert too_few(100, MIN_DAYS, needed=100) is None
    assert "99 orders" in (too_few(99, MIN_DAYS, needed=100) or "")
    assert "on 4 days" in (too_few(100, MIN_DAYS - 1, needed=100) or "")
    found = answers({POPULARITY: (0.3, 0.3)}, per_day=20, days=10)
    assert too_little(found, needed=100) is None
    assert "100 orders of customers with purchases on 10 days" in (too_little(found, needed=101) or "")
