"""The validation windows of the weight search: which orders its stages are evaluated on.

The score tables are of the newest window. The final round of a small shop asks the orders of earlier windows too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.evaluation.purchase_log import ANONYMOUS, PurchaseLog
from recsys.evaluation.rolling import EvaluationProtocol
from recsys.evaluation.score_table import HALF_LIVES_H, ScoreTable
from recsys.evaluation.score_table_builder import tabulate, tabulate_holdout
from recsys.evaluation.training_view import TrainingView, view_at
from recsys.score_weights import ScoreWeights
from recsys.scorer import TrainedParts

TABLE_SHARE = 0.6
"""The largest share of the warm orders that the score table takes; the final round needs the others."""
EARLIER = 3
"""Windows before the newest one that the final round asks at most."""


@dataclass(frozen=True, slots=True)
class QuestionLimits:
    """How many questions are asked at most; more would cost time without changing the choice."""

    table: int = 5000  # orders of warm, and of cold, customers in the score table
    final: int = 2000  # orders of warm customers in the final round
    holdout: int = 1000  # customers by whom the offline weights are chosen


@dataclass(frozen=True, slots=True)
class SearchWindow:
    """The orders from the view's moment to `until_ms`."""

    view: TrainingView
    until_ms: int
    sample: float  # of the orders: the score tables are made from so many
    seed: int
    limits: QuestionLimits = QuestionLimits()
    is_earlier: bool = False  # no score table takes its orders

    @property
    def newcomers(self) -> int:
        """Customers whose first purchase is in the window."""
        log, first = self.view.log, self.view.last
        known = np.append(log.customers[:first], ANONYMOUS)
        return len(np.setdiff1d(log.customers[first : log.at(self.until_ms)], known))

    @property
    def orders(self) -> tuple[int, int]:
        """About how many orders of warm and of cold customers there are."""
        log = self.view.log
        span = slice(self.view.last, log.at(self.until_ms))
        orders, cold = len(np.unique(log.orders[span][log.customers[span] != ANONYMOUS])), self.newcomers
        return max(orders - cold, 1), max(cold, 1)

    @property
    def shares(self) -> tuple[float, float]:
        """The shares of the warm and of the cold orders that the score table holds."""
        warm, cold = self.orders
        return min(self.sample * TABLE_SHARE, self.limits.table / warm), min(self.sample, self.limits.table / cold)

    def table(self, models: dict[str, TrainedParts], given: Sequence[ScoreWeights]) -> tuple[ScoreTable, ScoreTable]:
        """The score tables of warm and of cold customers' orders, with the half-lives of the given weights too."""
        half_lives_h = _half_lives(given)
        return tabulate(self.view, self.until_ms, models, half_lives_h=half_lives_h, shares=self.shares, seed=self.seed)

    def holdout_table(self, models: dict[str, TrainedParts], given: Sequence[ScoreWeights]) -> ScoreTable:
        """The score table of warm customers answered once, at the window's beginning, for all they buy in it."""
        log, half_lives_h = self.view.log, _half_lives(given)
        customers = len(np.unique(log.customers[self.view.last : log.at(self.until_ms)]))
        share = min(self.sample, self.limits.holdout / max(customers - self.newcomers, 1))
        return tabulate_holdout(
            self.view, self.until_ms, models, half_lives_h=half_lives_h, share=share, seed=self.seed
        )

    @property
    def final_orders(self) -> float:
        """About how many orders the final round asks."""
        return self.protocol().sample * self.orders[0]

    def protocol(self, **special: Any) -> EvaluationProtocol:
        """The questions of the final round: orders of warm customers that are not in the score table.

        As many as the limit allows, whatever the sample: they cost less than an earlier window with a model of its own.
        """
        in_table = 0.0 if self.is_earlier else self.shares[0]
        rest = min(1 - in_table, self.limits.final / self.orders[0])
        return EvaluationProtocol(who="warm", skip=in_table, sample=rest, seed=self.seed, **special)


def windows_until(
    log: PurchaseLog,
    first_ms: int,
    until_ms: int,
    sample: float,
    seed: int,
    limits: QuestionLimits = QuestionLimits(),
) -> list[SearchWindow]:
    """The window from `first_ms` to `until_ms`, and as many of the same length before it as the final round needs.

    It needs earlier ones where the newest alone has fewer orders than its limit. At least half of the time before the
    newest window is left to train on.
    """
    windows = [SearchWindow(view_at(log, first_ms), until_ms, sample, seed, limits)]
    length_ms, oldest_ms = until_ms - first_ms, (int(log.at_ms[0]) + first_ms) // 2
    asked = windows[0].final_orders
    while round(asked) < limits.final and len(windows) <= EARLIER and first_ms - length_ms >= oldest_ms:
        until_ms, first_ms = first_ms, first_ms - length_ms
        windows.append(SearchWindow(view_at(log, first_ms), until_ms, sample, seed, limits, is_earlier=True))
        asked += windows[-1].final_orders
    return windows


def _half_lives(given: Sequence[ScoreWeights]) -> tuple[float, ...]:
    """Half-lives of the live counts in a table: the usual ones, and those of the given weights."""
    return tuple(dict.fromkeys((*HALF_LIVES_H, *(hours for one in given for hours in one.half_lives_h))))
