"""Metrics of hand-made answers, and intervals whose width is known."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.evaluation.metrics import DayBootstrap, coverage, groups, interval, novelty, paired, values
from recsys.evaluation.rolling import NO_PURCHASE_BEFORE, NOTHING_LEFT, Answers
from recsys.evaluation.summary import summary


def answers(shown: list[list[list[int]]], targets: list[set[int]], gaps: list[int] | None = None) -> Answers:
    """`shown` of each method and question, filled up to ten; targets of each question; all of one day."""
    filled = [[rows + [NOTHING_LEFT] * (10 - len(rows)) for rows in method] for method in shown]
    hits = [
        [[row in wanted for row in rows] for rows, wanted in zip(method, targets, strict=True)] for method in filled
    ]
    return Answers(
        methods=tuple(f"m{place}" for place in range(len(shown))),
        at_ms=np.zeros(len(targets), np.int64),
        gap_ms=np.array(gaps or [NO_PURCHASE_BEFORE] * len(targets), np.int64),
        targets=np.array([len(wanted) for wanted in targets]),
        shown=np.array(filled, np.int32),
        hits=np.array(hits),
        candidates=np.array([True] * 8 + [False] * 2),
    )


def test_metrics_of_a_hit_at_the_second_and_the_fifth_place() -> None:
    found = values(answers([[[1, 2, 3, 4, 5, 6]]], [{2, 5, 9}]))
    assert found["hr@3"].tolist() == [[1.0]]
    assert found["recall@3"] == pytest.approx(1 / 3)
    assert found["recall@10"] == pytest.approx(2 / 3)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found["ndcg@3"] == pytest.approx(1 / np.log2(3) / ideal)
    assert found["ndcg@10"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(6)) / ideal)


def test_ndcg_is_one_where_no_order_could_be_better() -> None:
    many = set(range(12))
    found = values(answers([[[7], list(range(10))]], [{7}, many]))
    assert found["ndcg@10"] == pytest.approx(np.ones((1, 2)))
    assert found["hr@10"].tolist() == [[1.0, 1.0]]


def test_nothing_shown_is_nothing_found() -> None:
    assert all(not value.any() for value in values(answers([[[]]], [{NOTHING_LEFT + 5}])).values())


def test_groups_by_the_time_since_the_last_purchase() -> None:
    gaps = [NO_PURCHASE_BEFORE, 0, HOUR_MS, DAY_MS, 8 * DAY_MS, 30 * DAY_MS]
    found = groups(answers([[[]] * 6], [{1}] * 6, gaps))
    assert {name: np.flatnonzero(chosen).tolist() for name, chosen in found.items()} == {
        "all": [0, 1, 2, 3, 4, 5],
        "warm": [1, 2, 3, 4, 5],
        "cold": [0],
        "within an hour": [1],
        "within a day": [2],
        "within a week": [3],
        "within 30 days": [4],
        "longer ago": [5],
    }


def test_coverage_is_the_share_of_the_candidates_shown_to_anybody() -> None:
    both = answers([[[0, 1, 2, 3], [0, 1, 4]], [[0], [0]]], [{9}, {9}])
    everybody = np.ones(2, np.bool_)
    assert coverage(both, everybody, 3).tolist() == [4 / 8, 1 / 8]
    assert coverage(both, np.array([True, False]), 10).tolist() == [4 / 8, 1 / 8]


def test_novelty_is_the_surprise_of_what_is_shown() -> None:
    surprise, share = novelty(
        answers([[[0, 1]], [[]]], [{9}]), np.ones(1, np.bool_), 3, np.array([6.0, 0.0, 0, 0, 0, 0, 0, 0, 0, 0])
    )
    assert surprise == pytest.approx([-(np.log2(7 / 16) + np.log2(1 / 16)) / 2, 0])
    assert share == pytest.approx([4 / 16, 0])


def test_whole_days_are_drawn() -> None:
    # A thousand equal answers of a day are one observation: between two days of 0 and 1 the mean is 0, a half or 1.
    at_ms = np.repeat([0, DAY_MS], 1000)
    means = DayBootstrap(at_ms).means(np.repeat([0.0, 1.0], 1000))
    assert set(means.tolist()) == {0.0, 0.5, 1.0}
    assert (means == 0.5).mean() == pytest.approx(0.5, abs=0.05)


def test_an_interval_is_the_middle_of_the_resamples() -> None:
    found = interval(0.5, np.linspace(0, 1, 1001))
    assert (found.low, found.high) == pytest.approx((0.025, 0.975))


def test_intervals_are_as_wide_as_theory_says() -> None:
    chance = np.random.default_rng(4)
    daily = chance.normal(size=400)
    means = DayBootstrap(np.arange(400) * DAY_MS).means(daily)
    found = interval(float(daily.mean()), means)
    assert found.high - found.low == pytest.approx(2 * 1.96 * daily.std() / 20, rel=0.1)


def test_differences_and_ratios_are_paired() -> None:
    # The subject finds twice what the other finds, every day anew: the ratio has no width though the rates have.
    days = 40
    wanted = [{0, 1}] * days
    subject = [[0, 2, 3] if day % 2 else [4, 5, 6] for day in range(days)]
    other = [[0, 2, 3] if day % 4 == 1 else [4, 5, 6] for day in range(days)]
    made = answers([subject, other], wanted)
    spread = Answers(
        made.methods, np.arange(days) * DAY_MS // 4, made.gap_ms, made.targets, made.shown, made.hits, made.candidates
    )
    document = summary(spread, np.ones(10), "m0")["all"]
    assert document["methods"]["m0"]["hr@3"][0] == 0.5
    assert document["ratios"]["m1"]["hr@3"]["ratio"] == [2.0, 2.0, 2.0]
    assert document["ratios"]["m1"]["hr@3"]["difference"] == [0.25, 0.25, 0.25]
    assert set(document["ratios"]) == {"m1"}


def test_two_methods_are_paired_among_the_chosen_alone() -> None:
    found = answers([[[1], [1], [1], [5]], [[2], [1], [3], [4]]], [{1}, {1}, {1}, {4}])
    found = replace(found, at_ms=np.arange(4) * DAY_MS)
    first = np.array([True, True, True, False])
    difference = paired(found, "m0", "m1", first)["hr@3"]
    assert difference.value == pytest.approx(2 / 3)
    assert (difference.low, difference.high) == (0.0, 1.0), "of three days of which two differ"
    assert paired(found, "m1", "m0", ~first)["ndcg@10"].value == 1.0
    assert paired(found, "m0", "m1", np.zeros(4, np.bool_)) == {}


def test_against_a_method_that_finds_nothing_there_is_no_ratio() -> None:
    document = summary(answers([[[0]], [[1]]], [{0}]), np.ones(10), "m0")
    assert document["all"]["ratios"]["m1"]["hr@3"] == {"ratio": None, "difference": [1.0, 1.0, 1.0]}
    assert "warm" not in document
