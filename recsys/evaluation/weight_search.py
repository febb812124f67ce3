"""The choice of a recipe: a small random search on a validation window, seeded, within a time, recorded.

First what strangers get (which trends, how much of the model's popularity), then which factors, then what purchases
add, by trials on a table of score parts; the leaders then meet in answers of the serving scorer to orders that the
table does not hold. Last, whether bought products are shown again, and the weights for a state that stands still.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from recsys.als_settings import AlsSettings
from recsys.evaluation.methods import FactorCache, ModelConfig
from recsys.evaluation.metrics import DayBootstrap, values
from recsys.evaluation.purchase_log import ANONYMOUS
from recsys.evaluation.rolling import Answers, Method, Protocol, evaluate
from recsys.evaluation.score_table import HALF_LIVES_H, Table, tabulate, tabulate_holdout
from recsys.evaluation.training_view import TrainingView
from recsys.score_weights import Composition, Fading
from recsys.scorer import ComposedScorer, Knowledge

PARENTS = 4
FINALISTS = 3
ENOUGH_NEWCOMERS = 100
QUESTIONS = 5000
"""Orders of warm, and of cold, customers that the table holds at most: more would take longer than they tell."""
FINAL_QUESTIONS = 2000
"""Orders of warm customers on which the leaders meet at most."""
HOLDOUT_QUESTIONS = 1000
"""Customers at most by whom the weights for a state that stands still are chosen."""
TABLE_SHARE = 0.6
"""Of the warm orders, at most: the leaders meet on the others."""
Random = np.random.Generator
Mutation = Callable[[Composition, Random], Composition]

TRENDS_H = (2.0, 6.0, 24.0, 168.0)
POPULARITY_STARTS = (
    *(Composition(live=0.01, trends=(Fading(hours, 1.0),)) for hours in TRENDS_H),
    Composition(live=0.01, trends=(Fading(6.0, 1.0), Fading(168.0, 0.1))),
    Composition(live=0.01, popularity=0.01),
    Composition(live=0.01, trends=(Fading(24.0, 1.0),), steady=(Fading(720.0, 0.003),)),
)
RECENCIES_H = (24.0, 72.0, 168.0, 336.0, 1000.0, 3000.0)
FADES_H = (6.0, 24.0, 72.0, 168.0, 336.0)
NO_DECAY_H = 1e6
"""A half-life that outlasts every shop's memory: a part that does not fade."""
OFFLINE_TRENDS_H = (168.0, 720.0, 2160.0)
BALANCES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)


@dataclass(frozen=True, slots=True)
class SearchTrial:
    """One candidate and what it reached on the window."""

    stage: str
    composition: Composition
    als: AlsSettings
    value: float  # hit rate at 3 + NDCG at 10 of the stage's customers
    figures: dict[str, float]

    def record(self) -> dict[str, Any]:
        """As the record of the search keeps it."""
        return {
            "stage": self.stage,
            "als": self.als.model_dump(),
            "composition": msgspec.to_builtins(self.composition),
            "value": self.value,
            "figures": self.figures,
        }


@dataclass(frozen=True, slots=True)
class SearchWindow:
    """Where candidates are compared: the orders from the background's moment to `until_ms`, or a sample of them."""

    view: TrainingView
    until_ms: int
    sample: float
    seed: int

    @property
    def newcomers(self) -> int:
        """Customers who bought for the first time in the window."""
        log, first = self.view.log, self.view.last
        known = np.append(log.customers[:first], ANONYMOUS)
        return len(np.setdiff1d(log.customers[first : log.at(self.until_ms)], known))

    @property
    def orders(self) -> tuple[int, int]:
        """How many orders of warm and of cold customers there are, about."""
        log = self.view.log
        span = slice(self.view.last, log.at(self.until_ms))
        orders, cold = len(np.unique(log.orders[span][log.customers[span] != ANONYMOUS])), self.newcomers
        return max(orders - cold, 1), max(cold, 1)

    @property
    def shares(self) -> tuple[float, float]:
        """The share of warm and of cold orders that the table holds."""
        warm, cold = self.orders
        return min(self.sample * TABLE_SHARE, QUESTIONS / warm), min(self.sample, QUESTIONS / cold)

    def table(self, models: dict[str, Knowledge], given: Sequence[Composition]) -> tuple[Table, Table]:
        """The parts of the scores, of warm and of cold customers' orders, also those of the given compositions."""
        half_lives_h = _half_lives(given)
        return tabulate(self.view, self.until_ms, models, half_lives_h=half_lives_h, shares=self.shares, seed=self.seed)

    def holdout_table(self, models: dict[str, Knowledge], given: Sequence[Composition]) -> Table:
        """The same of warm customers who get one answer at the window's beginning, for all that they buy in it."""
        log, half_lives_h = self.view.log, _half_lives(given)
        customers = len(np.unique(log.customers[self.view.last : log.at(self.until_ms)]))
        share = min(self.sample, HOLDOUT_QUESTIONS / max(customers - self.newcomers, 1))
        return tabulate_holdout(
            self.view, self.until_ms, models, half_lives_h=half_lives_h, share=share, seed=self.seed
        )

    def protocol(self, **special: Any) -> Protocol:
        """How warm customers are asked by the scorer itself: about orders that the table does not hold."""
        held = self.shares[0]
        rest = min(self.sample * (1 - TABLE_SHARE), FINAL_QUESTIONS / self.orders[0])
        return Protocol(who="warm", skip=held, sample=rest, seed=self.seed, **special)


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen recipe, every trial that led to it, and how many there were in each stage."""

    config: ModelConfig
    trials: tuple[SearchTrial, ...]
    tried: dict[str, int]

    def record(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            **self.config.record(),
            "tried": self.tried,
            "trials": [trial.record() for trial in self.trials],
        }


def choose(
    window: SearchWindow,
    cache: FactorCache,
    seconds: float,
    candidates: Sequence[AlsSettings],
    start: ModelConfig | None = None,
) -> Choice:
    """Search for about `seconds`, once factors are fitted and the table is made; `start` is among the first tried."""
    models = {str(place): cache.knowledge(window.view, als) for place, als in enumerate(candidates)}
    given = [] if start is None else [msgspec.structs.replace(start.composition, still=None)]
    warm, cold = window.table(models, given)
    regulars = window.newcomers < ENOUGH_NEWCOMERS
    draw, started = np.random.default_rng(window.seed), _now()

    # A shop of regulars has too few newcomers to choose by: there everybody's answers decide what is popular.
    strangers = Stage("strangers", warm if regulars else cold, "0", candidates[0])
    starts = [*POPULARITY_STARTS, *(popularity_only(composition) for composition in given)]
    strangers.random_search(starts, mutate_popularity, draw, until=started + seconds / 4)
    popular = strangers.best.composition

    factors = [Stage("factors", warm, name, als) for name, als in zip(models, candidates, strict=True)]
    for stage in factors:
        stage.try_all([*personal_starts(popular), *given])
    best = max(factors, key=lambda stage: stage.best.value)
    personal = Stage("personal", warm, best.model, best.als)
    mutate = mutate_all if regulars else mutate_personal
    personal.random_search([trial.composition for trial in best.trials], mutate, draw, until=started + seconds)

    finals = FinalRound("finals", window, models[best.model], best.als)
    leaders = [trial.composition for trial in personal.leaders[:FINALISTS]]
    finals.try_all([popular, *leaders], window.protocol())
    again = FinalRound("repeats", window, models[best.model], best.als)
    again.try_all(repeat_starts(finals.winner()), window.protocol(new_only=False))
    chosen = again.best.composition

    # A state that stands still may choose its factors where those that follow the stream have none.
    some = [personal] if chosen.factors else factors
    before = start.composition.still if start else None
    starts = [*offline_starts(finals.winner()), *([before] if before else ())]
    table = window.holdout_table({stage.model: models[stage.model] for stage in some}, starts)
    still = [Stage("still", table, stage.model, stage.als) for stage in some]
    for stage in still:
        stage.try_all(starts)
    lasting = max(still, key=lambda stage: stage.best.value).best

    stages = (strangers, *factors, personal, finals, again, *still)
    return Choice(
        ModelConfig(
            lasting.als, with_offline_weights(chosen, lasting.composition), best_single_trend(strangers.trials)
        ),
        tuple(trial for stage in stages for trial in stage.notable),
        {name: sum(len(stage.trials) for stage in stages if stage.name == name) for name in STAGES},
    )


STAGES = ("strangers", "factors", "personal", "finals", "repeats", "still")


class Trials:
    """Trials by one model's factors. Among equals the first is the best."""

    def __init__(self, name: str, als: AlsSettings) -> None:
        self.name = name
        self.als = als
        self.trials: list[SearchTrial] = []

    @property
    def leaders(self) -> list[SearchTrial]:
        """All of them, best first."""
        return sorted(self.trials, key=lambda trial: -trial.value)

    @property
    def best(self) -> SearchTrial:
        """The trial with the highest value."""
        return self.leaders[0]

    @property
    def notable(self) -> list[SearchTrial]:
        """What the record keeps."""
        return self.trials

    def decide(self, composition: Composition, figures: dict[str, float]) -> None:
        """Note what a candidate reached."""
        self.trials.append(SearchTrial(self.name, composition, self.als, figures["hr@3"] + figures["ndcg@10"], figures))


class Stage(Trials):
    """Trials on a table."""

    def __init__(self, name: str, table: Table, model: str, als: AlsSettings) -> None:
        super().__init__(name, als)
        self.model = model
        self._table = table
        self._starts = 0

    @property
    def notable(self) -> list[SearchTrial]:
        """The starts, and whatever was better than all before it."""
        best = np.maximum.accumulate([trial.value for trial in self.trials])
        return [
            trial for place, trial in enumerate(self.trials) if place < self._starts or best[place] > best[place - 1]
        ]

    def random_search(self, starts: Sequence[Composition], mutate: Mutation, draw: Random, *, until: float) -> None:
        """The starts, then changes of the leaders until the time is over."""
        self.try_all(starts)
        while _now() < until:
            parents = self.leaders[:PARENTS]
            parent = parents[int(draw.integers(len(parents)))].composition
            self._try(mutate(parent, draw))

    def try_all(self, compositions: Sequence[Composition]) -> None:
        """Start with these."""
        for composition in compositions:
            self._try(composition)
        self._starts = len(self.trials)

    def _try(self, composition: Composition) -> None:
        self.decide(composition, self._table.values(composition, self.model))


class FinalRound(Trials):
    """Trials by the answers of the serving scorer."""

    def __init__(self, name: str, window: SearchWindow, knowledge: Knowledge, als: AlsSettings) -> None:
        super().__init__(name, als)
        self._window = window
        self._knowledge = knowledge
        self._answers: Answers | None = None

    def try_all(self, compositions: Sequence[Composition], protocol: Protocol) -> None:
        """Answer the window with each composition, in one pass."""
        methods = [
            Method(str(place), ComposedScorer(self._knowledge, composition))
            for place, composition in enumerate(compositions)
        ]
        answers = evaluate(self._window.view, self._window.until_ms, methods, protocol, self.name)
        found = values(answers)
        for place, composition in enumerate(compositions):
            self.decide(
                composition,
                {name: float(value[place].mean()) if len(answers) else 0.0 for name, value in found.items()},
            )
        self._answers = answers

    def winner(self) -> Composition:
        """The best, if it is better than the first beyond chance, by day; else the first.

        The best of many trials on a small window owes part of its value to luck; then what all others get is safer.
        """
        assert self._answers is not None
        best = self.trials.index(self.best)
        pays = len(self._answers) > 0 and better(self._answers, best, 0)
        return self.trials[best if pays else 0].composition


def better(answers: Answers, one: int, other: int) -> bool:
    """Whether a method's advantage over another, paired by day, lies above zero."""
    found = values(answers)
    value = found["hr@3"] + found["ndcg@10"]
    low, _ = np.percentile(DayBootstrap(answers.at_ms).means(value[one] - value[other]), (2.5, 97.5))
    return bool(low > 0)


def best_single_trend(trials: Sequence[SearchTrial]) -> Composition:
    """The best popularity that follows the stream by one half-life: what the composition is measured against."""
    alone = [
        trial
        for trial in trials
        if len(trial.composition.trends) == 1 and not trial.composition.popularity and not trial.composition.steady
    ]
    return max(alone, key=lambda trial: trial.value).composition


def personal_starts(strangers: Composition) -> list[Composition]:
    """Each personal part with what strangers get, and some of them together."""
    fading = (Fading(24.0, 0.8), Fading(NO_DECAY_H, 0.2))
    return [
        msgspec.structs.replace(scaled(strangers, scale), **weights)
        for scale, weights in (
            (5.0, {"factors": 1.0}),
            (1.0, {"neighbours": 1.0}),
            (1.0, {"neighbours": 1.0, "shrink": 20.0, "balance": 0.2}),
            (1.0, {"neighbours": 1.0, "factors": 0.1}),
            (1.0, {"neighbours": 1.0, "factors": 0.3, "shrink": 20.0, "balance": 0.2}),
            (1.0, {"neighbours": 1.0, "factors": 0.1, "categories": 0.5}),
            (1.0, {"neighbours": 1.0, "factors": 0.1, "recency": (Fading(1000.0, 1.0), Fading(1.0, 1.0))}),
            (1.0, {"neighbours": 1.0, "factors": 0.3, "fade": fading, "balance": 0.5, "shrink": 7.0}),
            (5.0, {"neighbours": 0.1, "factors": 1.0}),
            (10.0, {"factors": 1.0}),
            (30.0, {"factors": 1.0}),
        )
    ]


def popularity_only(composition: Composition) -> Composition:
    """What a composition gives to strangers."""
    still = popularity_only(composition.still) if composition.still else None
    return msgspec.structs.replace(composition, factors=0.0, neighbours=0.0, categories=0.0, repeats=0.0, still=still)


def scaled(composition: Composition, scale: float) -> Composition:
    """Popularity as a whole weighed anew: strangers get the same as before."""
    return msgspec.structs.replace(
        composition,
        live=_rounded(composition.live * scale),
        popularity=_rounded(composition.popularity * scale),
        steady=tuple(Fading(part.half_life_h, _rounded(part.weight * scale)) for part in composition.steady),
    )


def mutate_popularity(parent: Composition, draw: Random) -> Composition:
    """Another half-life, one more or less, another balance of live and known popularity, or of what sells steadily."""
    trends = tuple(
        Fading(_choice(HALF_LIVES_H, draw) if draw.random() < 0.5 else part.half_life_h, _jittered(part.weight, draw))
        for part in parent.trends
    )
    if draw.random() < 0.4:
        trends = trends[:1] if len(trends) > 1 else (*trends, Fading(_choice(HALF_LIVES_H, draw), 0.1))
    popularity, steady = parent.popularity, parent.steady
    if draw.random() < 0.4:
        popularity = _jittered(popularity or 0.003, draw) if draw.random() < 0.7 else 0.0
    if draw.random() < 0.4:
        held = _jittered(steady[0].weight if steady else 0.3 * parent.live, draw)
        steady = (Fading(_choice(HALF_LIVES_H[4:], draw), held),) if draw.random() < 0.8 else ()
    return msgspec.structs.replace(parent, trends=trends, popularity=popularity, steady=steady)


def mutate_personal(parent: Composition, draw: Random) -> Composition:
    """About half of the weights and shapes moved a step; popularity as a whole, so that strangers get the same."""
    changed: dict[str, Any] = {}
    for name, usual in (("factors", 0.1), ("neighbours", 1.0), ("categories", 0.3)):
        if draw.random() < 0.4:
            changed[name] = 0.0 if draw.random() < 0.1 else _jittered(getattr(parent, name) or usual, draw)
    if draw.random() < 0.3:
        changed["shrink"] = _jittered(parent.shrink, draw)
    if draw.random() < 0.2:
        changed["balance"] = _choice(BALANCES, draw)
    if draw.random() < 0.4:
        changed["recency"] = _recency(draw)
    if draw.random() < 0.3:
        changed["fade"] = _fade(draw)
    scale = _jittered(1.0, draw) if draw.random() < 0.4 else 1.0
    return msgspec.structs.replace(scaled(parent, scale), **changed)


def mutate_all(parent: Composition, draw: Random) -> Composition:
    """Where nobody is a stranger, what is popular may move with the rest."""
    changed = mutate_personal(parent, draw)
    return mutate_popularity(changed, draw) if draw.random() < 0.3 else changed


def repeat_starts(masked: Composition) -> list[Composition]:
    """The composition as it is, and with bought products shown again at some weights of their own."""
    largest, weights = _largest(masked), (0.0, 0.03, 0.3, 3.0)
    return [masked, *(msgspec.structs.replace(masked, mask_bought=False, repeats=w * largest) for w in weights)]


def offline_starts(moving: Composition) -> list[Composition]:
    """For a state that stands still: the weights as they are, and what lasts for weeks, alone and together.

    Something popular is in all of them: strangers get nothing else.
    """
    lasting = msgspec.structs.replace(
        moving,
        **dict.fromkeys(("factors", "popularity", "live", "neighbours", "categories"), 0.0),
        steady=(),
        fade=(),
        recency=(Fading(1000.0, 1.0),),
        shrink=20.0,
        balance=0.2,
    )
    popular = [
        msgspec.structs.replace(lasting, live=weight, trends=(Fading(hours, 1.0),))
        for weight in (0.001, 0.01, 0.03, 0.1, 0.3)
        for hours in OFFLINE_TRENDS_H
    ]
    personal = [
        msgspec.structs.replace(base, factors=factors, neighbours=neighbours)
        for factors, neighbours in ((1.0, 0.0), (0.0, 1.0), (1.0, 0.1), (1.0, 0.5))
        for base in popular
    ]
    return [moving, *popular[: len(OFFLINE_TRENDS_H)], *personal]


def with_offline_weights(moving: Composition, still: Composition) -> Composition:
    """The weights for both states.

    Whether what was bought is shown again, and how strongly against the largest weight, is carried over from the moving
    one: the static questions are about new products.
    """
    repeats = moving.repeats / _largest(moving) * _largest(still) if moving.repeats else 0.0
    return msgspec.structs.replace(
        moving, still=msgspec.structs.replace(still, mask_bought=moving.mask_bought, repeats=repeats)
    )


def _largest(composition: Composition) -> float:
    """The weight that a weight of repeats is measured by."""
    return max(composition.factors, composition.neighbours, composition.categories, composition.live)


def _half_lives(given: Sequence[Composition]) -> tuple[float, ...]:
    """Half-lives of live counts that a table holds: the usual ones, and those of the given compositions."""
    return tuple(dict.fromkeys((*HALF_LIVES_H, *(hours for one in given for hours in one.half_lives_h))))


def _recency(draw: Random) -> tuple[Fading, ...]:
    parts = [Fading(_choice(RECENCIES_H, draw), 1.0)]
    if draw.random() < 0.5:
        parts.append(Fading(1.0, _jittered(0.5, draw)))
    if draw.random() < 0.3:
        parts.append(Fading(NO_DECAY_H, _jittered(0.05, draw)))
    return tuple(parts)


def _fade(draw: Random) -> tuple[Fading, ...]:
    if draw.random() < 0.2:
        return ()
    lasting = float(draw.choice((0.0, 0.1, 0.2, 0.4, 0.6)))
    return (Fading(_choice(FADES_H, draw), _rounded(1 - lasting)), Fading(NO_DECAY_H, lasting))


def _choice(choices: Sequence[float], draw: Random) -> float:
    return float(draw.choice(choices))


def _jittered(value: float, draw: Random) -> float:
    return _rounded(value * float(np.exp(draw.normal(scale=0.5))))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")  # three digits are more than a window can tell


def _now() -> float:
    return time.monotonic()
