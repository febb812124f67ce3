"""Static evaluation: each customer gets one answer at the split, held to all their purchases after it."""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from spark.evaluate.knowledge import Background
from spark.evaluate.log import ANONYMOUS
from spark.evaluate.rolling import Answers, Method, Protocol, Recorder, Shop, Shown, gap_of, targets_of


def evaluate(background: Background, until_ms: int, methods: Sequence[Method], protocol: Protocol) -> Answers:
    """Ask once for each known customer who bought something from the background's moment to `until_ms`."""
    log, now_ms = background.log, background.moment_ms
    shop, recorder = Shop(background, methods), Recorder(methods, len(log.products))
    on_sale = shop.live.on_sale(now_ms, protocol.candidate_days)
    strangers: list[Shown] = []  # the same for all of them
    lines = np.arange(background.last, log.at(until_ms))
    lines = lines[log.customers[lines] != ANONYMOUS]
    lines = lines[np.argsort(log.customers[lines], kind="stable")]
    customers = np.split(lines, np.flatnonzero(np.diff(log.customers[lines])) + 1) if len(lines) else []
    chance = np.random.default_rng(protocol.seed)
    for theirs in tqdm(customers, desc="static", unit=" customers"):
        if not protocol.draws(chance.random()):
            continue
        customer = log.users[int(log.customers[theirs[0]])]
        history = shop.live.history(customer)
        targets = targets_of(log, theirs, history, protocol.new_only)
        if not len(targets) or not protocol.asks(history):
            continue
        shown = [] if len(history) else strangers
        if not shown:
            shown = shop.shown(methods, customer, now_ms, on_sale, protocol.new_only)
        if not len(history):
            strangers = shown
        recorder.add(int(log.at_ms[theirs[0]]), gap_of(history, now_ms), targets, on_sale, shown)
    return recorder.answers()
