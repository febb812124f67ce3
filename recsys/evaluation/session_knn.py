"""VMIS-kNN, a baseline of the literature: the newest sessions with the same products vote for what else was in them.

Kersbergen, Sprangers, Schelter, "Serenade: Low-Latency Session-Based Recommendation in e-Commerce at Scale" (SIGMOD
2022), an index for V-SkNN (Ludewig and Jannach, 2018). A session is what a customer bought, or an anonymous order, up
to the view's moment; the session that asks is the customer's newest purchases, or the basket.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.evaluation.purchase_log import ANONYMOUS
from recsys.evaluation.training_view import TrainingView
from recsys.live_state import LiveState
from recsys.purchase_history import History
from recsys.score_weights import ScoreWeights
from recsys.scorer import ComposedScorer, Customer, SharedScores, TrainedParts
from recsys.topk import Allowed, Float64s, Int64s, Ranked, largest

SESSIONS, NEIGHBOURS = 500, 100
"""The newest sessions with a product, and the most similar of them that vote: m and k of the paper."""
LENGTH = 9
"""Products of the asking session that count, the newest ones."""
_FILLING = 1e-9
"""Popular products come behind every product that a session votes for."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Members of each group, one group after the other: those of group g are `members[starts[g] : starts[g + 1]]`."""

    starts: Int64s
    members: Int64s

    def of(self, group: int) -> Int64s:
        """The members of one group."""
        return self.members[self.starts[group] : self.starts[group + 1]]


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions by number, the newest first: their products, and of each product the newest sessions with it."""

    products_of: Groups
    sessions_with: Groups
    rarity: Float64s  # [products]: ln(sessions / sessions with it)


def sessions_of(view: TrainingView, of_customers: bool = True) -> Sessions:
    """The sessions before the view's moment; without `of_customers`, each order is one."""
    log = view.log
    sold = np.flatnonzero(log.quantity[: view.last] > 0)
    customers, orders, rows = log.customers[sold], log.orders[sold], log.rows[sold]
    known = (customers != ANONYMOUS) if of_customers else np.zeros(len(sold), np.bool_)
    _, owners = np.unique(np.where(known, customers, len(log.users) + orders), return_inverse=True)
    number = int(owners.max(initial=-1)) + 1
    newest = np.zeros(number, np.int64)
    np.maximum.at(newest, owners, log.at_ms[sold])
    place = np.empty(number, np.int64)
    place[np.argsort(-newest, kind="stable")] = np.arange(number)
    session, product = np.divmod(np.unique(place[owners] * len(log.products) + rows), len(log.products))
    by_product = np.argsort(product, kind="stable")  # and by session, so the newest come first
    with_it = np.bincount(product, minlength=len(log.products))
    return Sessions(
        Groups(_starts(np.bincount(session, minlength=number)), product),
        Groups(_starts(with_it), session[by_product]),
        np.log(max(number, 1) / np.maximum(with_it, 1)),
    )


class SessionKnn(ComposedScorer):
    """Scores by the sessions most like the customer's; products that no session votes for follow by popularity."""

    def __init__(self, trained: TrainedParts, sessions: Sessions, mask_bought: bool = True) -> None:
        super().__init__(trained, ScoreWeights(popularity=1.0, mask_bought=mask_bought))
        self._sessions = sessions

    def top_k_each(
        self, customers: Sequence[Customer], live: LiveState, shared: SharedScores, k: int, allowed: Sequence[Allowed]
    ) -> Iterator[Ranked]:
        """The k best of the allowed products for each customer."""
        for customer, mask in zip(customers, allowed, strict=True):
            scores = self.votes(customer.history) + _FILLING * shared.scores
            rows = np.flatnonzero(mask)
            rows = rows[largest(scores[rows], k)]
            order = np.argsort(-scores[rows], kind="stable")
            yield Ranked(rows[order], scores[rows[order]])

    def votes(self, history: History) -> Float64s:
        """The score of each product [products] for these purchases."""
        scores = np.zeros(len(self._sessions.rarity))
        asked = history.rows[np.argsort(history.event_time_ms, kind="stable")[-LENGTH:]][::-1]  # the newest first
        found = [self._sessions.sessions_with.of(row)[:SESSIONS] for row in asked.tolist()]
        if not sum(map(len, found)):
            return scores
        sessions, places = np.unique(np.concatenate(found), return_inverse=True)
        steps = np.repeat(np.arange(len(asked)), [len(each) for each in found])
        similarity = np.bincount(places, 1 - steps / len(asked)).astype(np.float64)
        newest_shared = np.full(len(sessions), LENGTH)
        np.minimum.at(newest_shared, places, steps)
        # The newest sessions have the lowest numbers, which `unique` puts first.
        similarity, newest_shared = similarity[:SESSIONS], newest_shared[:SESSIONS]
        for place in largest(similarity, NEIGHBOURS).tolist():
            products = self._sessions.products_of.of(int(sessions[place]))
            scores[products] += similarity[place] * (1 - 0.1 * newest_shared[place])
        return scores * self._sessions.rarity


def _starts(counts: Int64s) -> Int64s:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
