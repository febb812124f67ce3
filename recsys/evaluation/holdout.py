"""Holdout evaluation (`static` in figures): each customer gets one answer, checked against all later purchases."""

from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from recsys.evaluation.purchase_log import ANONYMOUS
from recsys.evaluation.rolling import (
    Answers,
    EvaluationProtocol,
    Method,
    Question,
    Recorder,
    ReplayState,
    TopK,
    targets_of,
    time_since_last_purchase,
)
from recsys.evaluation.training_view import TrainingView
from recsys.live_state import LiveState


def evaluate(view: TrainingView, until_ms: int, methods: Sequence[Method], protocol: EvaluationProtocol) -> Answers:
    """Ask once for each known customer who bought something from the view's moment to `until_ms`."""
    now_ms = view.moment_ms
    replay, recorder = ReplayState(view, methods), Recorder(methods, len(view.log.products))
    on_sale = replay.live.on_sale(now_ms, protocol.candidate_days)
    for_unknown_users: list[TopK] = []  # the same for all of them
    for one in each_holdout_question(view, until_ms, replay.live, protocol):
        shown = [] if len(one.history) else for_unknown_users
        if not shown:
            shown = replay.shown(methods, one.customer, now_ms, on_sale, protocol.new_only)
        if not len(one.history):
            for_unknown_users = shown
        recorder.add(one.at_ms, time_since_last_purchase(one.history, now_ms), one.targets, on_sale, shown)
    return recorder.answers()


def each_holdout_question(
    view: TrainingView, until_ms: int, live: LiveState, protocol: EvaluationProtocol
) -> Iterator[Question]:
    """The questions to `live`, which is in the state of the view's moment and stays so."""
    log = view.log
    lines = np.arange(view.last, log.at(until_ms))
    lines = lines[log.customers[lines] != ANONYMOUS]
    lines = lines[np.argsort(log.customers[lines], kind="stable")]
    customers = np.split(lines, np.flatnonzero(np.diff(log.customers[lines])) + 1) if len(lines) else []
    chance = np.random.default_rng(protocol.seed)
    for theirs in tqdm(customers, desc="static", unit=" customers"):
        if not protocol.draws(drawn := chance.random()):
            continue
        customer = log.users[int(log.customers[theirs[0]])]
        history = live.history(customer)
        targets = targets_of(log, theirs, history, protocol.new_only)
        if len(targets) and protocol.asks(history):
            yield Question(int(log.at_ms[theirs[0]]), customer, history, targets, drawn)
