"""Static evaluation: each customer gets one answer at the split, held to all their purchases after it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recsys.evaluation.purchase_log import ANONYMOUS
from recsys.evaluation.rolling import (
    Answers,
    Method,
    Protocol,
    Recorder,
    ReplayState,
    TopK,
    targets_of,
    time_since_last_purchase,
)
from recsys.evaluation.training_view import TrainingView
from recsys.live_state import LiveState
from recsys.purchase_history import History


@dataclass(frozen=True, slots=True)
class Question:
    """One customer, what they held, and the products they bought after it."""

    at_ms: int  # of the first of these purchases
    customer: str
    history: History
    targets: NDArray[np.int64]


def evaluate(view: TrainingView, until_ms: int, methods: Sequence[Method], protocol: Protocol) -> Answers:
    """Ask once for each known customer who bought something from the background's moment to `until_ms`."""
    now_ms = view.moment_ms
    replay, recorder = ReplayState(view, methods), Recorder(methods, len(view.log.products))
    on_sale = replay.live.on_sale(now_ms, protocol.candidate_days)
    fallback: list[TopK] = []  # the same for all of them
    for one in each_question(view, until_ms, replay.live, protocol):
        shown = [] if len(one.history) else fallback
        if not shown:
            shown = replay.shown(methods, one.customer, now_ms, on_sale, protocol.new_only)
        if not len(one.history):
            fallback = shown
        recorder.add(one.at_ms, time_since_last_purchase(one.history, now_ms), one.targets, on_sale, shown)
    return recorder.answers()


def each_question(view: TrainingView, until_ms: int, live: LiveState, protocol: Protocol) -> Iterator[Question]:
    """The questions to a state of the background's moment, which is left as it is."""
    log = view.log
    lines = np.arange(view.last, log.at(until_ms))
    lines = lines[log.customers[lines] != ANONYMOUS]
    lines = lines[np.argsort(log.customers[lines], kind="stable")]
    customers = np.split(lines, np.flatnonzero(np.diff(log.customers[lines])) + 1) if len(lines) else []
    chance = np.random.default_rng(protocol.seed)
    for theirs in tqdm(customers, desc="static", unit=" customers"):
        if not protocol.draws(chance.random()):
            continue
        customer = log.users[int(log.customers[theirs[0]])]
        history = live.history(customer)
        targets = targets_of(log, theirs, history, protocol.new_only)
        if len(targets) and protocol.asks(history):
            yield Question(int(log.at_ms[theirs[0]]), customer, history, targets)
