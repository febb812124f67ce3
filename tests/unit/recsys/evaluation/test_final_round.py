"""The final round on windows of a small shop, and what customers who were away get."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from recsys.decayed_counts import DAY_MS
from recsys.evaluation.belief import ACROSS_SHOPS, ENOUGH
from recsys.evaluation.final_round import AWAY_DAYS, FinalRound
from recsys.evaluation.methods import BASELINE_ALS
from recsys.evaluation.rolling import Answers, K
from recsys.evaluation.search_window import EARLIER, QuestionLimits, windows_until
from recsys.score_weights import ScoreWeights
from tests.support.purchase_log import START_MS, two_worlds

POPULAR, PERSONAL = ScoreWeights(live=1.0), ScoreWeights(live=1.0, neighbours=1.0)
QUESTIONS = 400


class Window:
    """A window whose first questions are hits: so many of each candidate, half of them of customers who were away."""

    def __init__(self, hits: Sequence[Sequence[int]], first_day: int = 0) -> None:
        self._hits = hits
        self._first_day = first_day

    def answers(self, candidates: Sequence[ScoreWeights], title: str) -> Answers:
        """Of each candidate (hits of customers who were there lately, hits of those who were away)."""
        found = np.zeros((len(candidates), QUESTIONS, K), np.bool_)
        away = np.arange(QUESTIONS) % 2 == 1
        for place, (near, far) in enumerate(self._hits):
            found[place, np.flatnonzero(~away)[:near], 0] = True
            found[place, np.flatnonzero(away)[:far], 0] = True
        return Answers(
            methods=tuple(map(str, range(len(candidates)))),
            at_ms=(self._first_day + np.arange(QUESTIONS) % 10) * DAY_MS,
            gap_ms=np.where(away, AWAY_DAYS * DAY_MS, DAY_MS),
            targets=np.ones(QUESTIONS, np.int64),
            shown=np.zeros(found.shape, np.int32),
            hits=found,
            candidates=np.ones(10, np.bool_),
        )


def round_of(*windows: Window, candidates: Sequence[ScoreWeights] = (POPULAR, PERSONAL)) -> FinalRound:
    finals = FinalRound("finals", windows, BASELINE_ALS)  # type: ignore[arg-type]
    finals.try_all(candidates)
    return finals


def test_a_believed_gain_wins_and_those_who_were_away_share_it_where_it_is_theirs() -> None:
    assert round_of(Window([(40, 40), (80, 60)])).winner() == PERSONAL


def test_who_was_away_gets_popular_products_where_the_gain_is_not_theirs() -> None:
    winner = round_of(Window([(40, 40), (120, 39)])).winner()
    assert winner.personal_days == AWAY_DAYS
    assert winner.neighbours == PERSONAL.neighbours


def test_what_is_not_believed_does_not_win() -> None:
    finals = round_of(Window([(40, 40), (42, 38)]))
    assert finals.belief.chance < ENOUGH
    assert finals.winner() == POPULAR


def test_windows_add_up() -> None:
    small = [(10, 10), (13, 12)]
    alone = round_of(Window(small))
    several = round_of(*(Window(small, first_day=10 * number) for number in range(4)))
    assert len(several._value[0]) == 4 * len(alone._value[0])
    assert several.belief.deviation < 0.6 * alone.belief.deviation


def test_without_a_question_other_shops_are_all_that_is_known() -> None:
    class Empty(Window):
        def answers(self, candidates: Sequence[ScoreWeights], title: str) -> Answers:
            none = super().answers(candidates, title)
            return replace(
                none,
                at_ms=none.at_ms[:0],
                gap_ms=none.gap_ms[:0],
                targets=none.targets[:0],
                shown=none.shown[:, :0],
                hits=none.hits[:, :0],
            )

    finals = round_of(Empty([(1, 1), (1, 1)]))
    assert finals.belief == ACROSS_SHOPS
    assert finals.winner() == POPULAR


def test_where_no_candidate_is_personal_popular_products_win() -> None:
    assert round_of(Window([(10, 10), (90, 90)]), candidates=(POPULAR, ScoreWeights(live=2.0))).winner() == POPULAR


@pytest.mark.parametrize(("final", "windows"), [(1, 1), (10**6, 1 + EARLIER)])
def test_a_shop_with_few_orders_asks_earlier_windows_too(final: int, windows: int) -> None:
    log = two_worlds(200, seed=2)
    limits = QuestionLimits(final=final)
    found = windows_until(log, START_MS + 30 * DAY_MS, START_MS + 34 * DAY_MS, 1.0, 1, limits)
    assert [(one.view.moment_ms - START_MS) // DAY_MS for one in found] == [30, 26, 22, 18][:windows]
    assert [(one.until_ms - START_MS) // DAY_MS for one in found] == [34, 30, 26, 22][:windows]
    assert [one.is_earlier for one in found] == [False, True, True, True][:windows]
    assert all(one.protocol().skip == 0 for one in found[1:])


def test_where_the_tables_are_a_sample_the_newest_window_still_has_enough_for_the_final_round() -> None:
    log = two_worlds(200, seed=2)
    span = START_MS + 30 * DAY_MS, START_MS + 34 * DAY_MS
    orders, _ = windows_until(log, *span, 1.0, 1)[0].orders
    (newest,) = windows_until(log, *span, 0.1, 1, QuestionLimits(final=orders // 2))
    protocol = newest.protocol()
    assert protocol.skip == pytest.approx(newest.shares[0]) == pytest.approx(0.06)
    assert protocol.sample == pytest.approx(0.5, abs=1 / orders), "more than the sample"


def test_half_of_the_time_is_left_to_train_on() -> None:
    log = two_worlds(200, seed=2)
    limits = QuestionLimits(final=10**6)
    found = windows_until(log, START_MS + 20 * DAY_MS, START_MS + 26 * DAY_MS, 1.0, 1, limits)
    assert [(one.view.moment_ms - START_MS) // DAY_MS for one in found] == [20, 14]
