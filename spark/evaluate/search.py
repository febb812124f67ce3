"""The choice of a recipe: a small random search on a validation window, seeded, within a time, all of it recorded.

First the factors' settings, then what strangers get (which trends, how much of the model's popularity), then what
purchases add to it, last whether bought products are shown again. Candidates of a round are answered in one pass.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from services.recommender.composed import ComposedScorer, Knowledge
from services.recommender.composition import Composition, Fading
from spark.evaluate.knowledge import Background
from spark.evaluate.log import ANONYMOUS
from spark.evaluate.metrics import Blocks, groups, values
from spark.evaluate.recipes import Fits, Recipe
from spark.evaluate.rolling import Answers, Method, Protocol, Who, evaluate
from spark.settings import AlsSettings

ROUND = 8  # candidates answered in one pass
PARENTS = 3
ENOUGH_NEWCOMERS = 100
Draw = np.random.Generator
Change = Callable[[Composition, Draw], Composition]

TRENDS_H = (2.0, 6.0, 24.0, 168.0)
STRANGERS = (
    *(Composition(live=0.01, trends=(Fading(hours, 1.0),)) for hours in TRENDS_H),
    Composition(live=0.01, trends=(Fading(6.0, 1.0), Fading(168.0, 0.1))),
    Composition(live=0.01, popularity=0.01),
)
HALF_LIVES_H = (1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 72.0, 168.0, 720.0)
RECENCIES_H = (24.0, 72.0, 168.0, 336.0, 1000.0, 3000.0)
BALANCES = (0.0, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class Trial:
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
class Window:
    """Where candidates are compared: the orders from the background's moment to `until_ms`, or a sample of them."""

    background: Background
    until_ms: int
    sample: float
    seed: int

    @property
    def newcomers(self) -> int:
        """Customers who bought for the first time in the window."""
        log, first = self.background.log, self.background.last
        known = np.append(log.customers[:first], ANONYMOUS)
        return len(np.setdiff1d(log.customers[first : log.at(self.until_ms)], known))

    def protocol(self, **special: Any) -> Protocol:
        """How candidates are asked."""
        return Protocol(sample=self.sample, seed=self.seed, **special)


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen recipe and every trial that led to it."""

    recipe: Recipe
    trials: tuple[Trial, ...]

    def record(self) -> dict[str, Any]:
        """As it is kept."""
        return {**self.recipe.record(), "trials": [trial.record() for trial in self.trials]}


def choose(window: Window, fits: Fits, seconds: float, candidates: Sequence[AlsSettings]) -> Choice:
    """Search for about `seconds` after the factors are fitted: a third of them for strangers."""
    factors = Stage("factors", "warm", window.protocol(who="warm"), window)
    for als in candidates:
        factors.try_all(fits.knowledge(window.background, als), als, [Composition(factors=1.0)])
    als = factors.best.als
    knowledge, draw, started = fits.knowledge(window.background, als), np.random.default_rng(window.seed), _now()

    # A shop of regulars has too few newcomers to choose by: there everybody's answers decide what is popular.
    who: Who = "cold" if window.newcomers >= ENOUGH_NEWCOMERS else "all"
    strangers = Stage("strangers", who, window.protocol(who=who), window)
    strangers.climb(knowledge, als, STRANGERS, strangers_change, draw, until=started + seconds / 3)
    personal = Stage("personal", "warm", window.protocol(who="warm"), window)
    starts = personal_starts(strangers.best.composition)
    personal.climb(knowledge, als, starts, personal_change, draw, until=started + seconds)
    repeats = Stage("repeats", "warm", window.protocol(who="warm", new_only=False), window)
    popular = strangers.best.composition
    masked = personal.best.composition if pays(window, knowledge, personal.best.composition, popular) else popular
    repeats.try_all(knowledge, als, repeating(masked))

    recipe = Recipe(als, repeats.best.composition, live_alone(strangers.trials))
    return Choice(recipe, (*factors.trials, *strangers.trials, *personal.trials, *repeats.trials))


class Stage:
    """Trials with one protocol, judged by the customers of one group. Among equals the first is the best."""

    def __init__(self, name: str, group: str, protocol: Protocol, window: Window) -> None:
        self.trials: list[Trial] = []
        self._name = name
        self._group = group
        self._protocol = protocol
        self._window = window

    @property
    def best(self) -> Trial:
        """The trial with the highest value."""
        return max(self.trials, key=lambda trial: trial.value)

    def climb(
        self,
        knowledge: Knowledge,
        als: AlsSettings,
        starts: Sequence[Composition],
        change: Change,
        draw: Draw,
        *,
        until: float,
    ) -> None:
        """The starts, then changes of the best so far, round by round until the time is over."""
        self.try_all(knowledge, als, starts)
        while _now() < until:
            leaders = sorted(self.trials, key=lambda trial: -trial.value)[:PARENTS]
            parents = [leaders[place % len(leaders)].composition for place in range(ROUND)]
            self.try_all(knowledge, als, [change(parent, draw) for parent in parents])

    def try_all(self, knowledge: Knowledge, als: AlsSettings, compositions: Sequence[Composition]) -> None:
        """Answer the window with each composition."""
        methods = [Method(str(n), ComposedScorer(knowledge, composition)) for n, composition in enumerate(compositions)]
        title = f"{self._name}: trials {len(self.trials) + 1} to {len(self.trials) + len(methods)}"
        answers = evaluate(self._window.background, self._window.until_ms, methods, self._protocol, title)
        self.trials.extend(self._judged(compositions, als, answers))

    def _judged(self, compositions: Sequence[Composition], als: AlsSettings, answers: Answers) -> Iterator[Trial]:
        found, chosen = values(answers), groups(answers)[self._group]
        for place, composition in enumerate(compositions):
            figures = {
                name: float(value[place, chosen].mean()) if chosen.any() else 0.0 for name, value in found.items()
            }
            yield Trial(self._name, composition, als, figures["hr@3"] + figures["ndcg@10"], figures)


def pays(window: Window, knowledge: Knowledge, personal: Composition, popular: Composition) -> bool:
    """Whether purchases of their own serve warm customers better than what strangers get, beyond chance.

    The best of many trials on a small window owes part of its value to luck; then what all others get is safer.
    """
    methods = [
        Method(name, ComposedScorer(knowledge, one)) for name, one in (("personal", personal), ("popular", popular))
    ]
    answers = evaluate(window.background, window.until_ms, methods, window.protocol(who="warm"), "personal or popular")
    if not len(answers):
        return False
    found = values(answers)
    value = found["hr@3"] + found["ndcg@10"]
    low, _ = np.percentile(Blocks(answers.at_ms).means(value[0] - value[1]), (2.5, 97.5))
    return bool(low > 0)


def live_alone(trials: Sequence[Trial]) -> Composition:
    """The best popularity that follows the stream by one half-life: what the composition is measured against."""
    alone = [trial for trial in trials if len(trial.composition.trends) == 1 and not trial.composition.popularity]
    return max(alone, key=lambda trial: trial.value).composition


def personal_starts(strangers: Composition) -> list[Composition]:
    """Each personal part with what strangers get, and some of them together."""
    return [
        msgspec.structs.replace(strangers, **weights)
        for weights in (
            {"factors": 1.0, "live": strangers.live * 5, "popularity": strangers.popularity * 5},
            {"neighbours": 1.0},
            {"neighbours": 1.0, "shrink": 20.0, "balance": 0.2},
            {"neighbours": 1.0, "factors": 0.1},
            {"neighbours": 1.0, "factors": 0.3, "shrink": 20.0, "balance": 0.2},
            {"neighbours": 1.0, "factors": 0.1, "categories": 0.5},
            {"neighbours": 1.0, "factors": 0.1, "recency": (Fading(1000.0, 1.0), Fading(1.0, 1.0))},
            {"neighbours": 0.1, "factors": 1.0, "live": strangers.live * 5, "popularity": strangers.popularity * 5},
        )
    ]


def strangers_change(parent: Composition, draw: Draw) -> Composition:
    """Another half-life, one more or less, or another balance between live and known popularity."""
    trends = tuple(Fading(float(draw.choice(HALF_LIVES_H)), _scaled(part.weight, draw)) for part in parent.trends)
    if draw.random() < 0.5:
        trends = trends[:1] if len(trends) > 1 else (*trends, Fading(float(draw.choice(HALF_LIVES_H)), 0.1))
    popularity = _scaled(parent.popularity or 0.003, draw) if draw.random() < 0.5 else 0.0
    return msgspec.structs.replace(parent, trends=trends, popularity=popularity)


def personal_change(parent: Composition, draw: Draw) -> Composition:
    """About half of the weights and shapes moved a step; popularity as a whole, so that strangers get the same."""
    changed: dict[str, Any] = {}
    for name, usual in (("factors", 0.1), ("neighbours", 1.0), ("categories", 0.3)):
        if draw.random() < 0.5:
            changed[name] = 0.0 if draw.random() < 0.15 else _scaled(getattr(parent, name) or usual, draw)
    if draw.random() < 0.5:
        scale = _scaled(1.0, draw)
        changed |= {"live": parent.live * scale, "popularity": parent.popularity * scale}
    if draw.random() < 0.4:
        changed["shrink"] = _scaled(parent.shrink, draw)
    if draw.random() < 0.3:
        changed["balance"] = float(draw.choice(BALANCES))
    if draw.random() < 0.4:
        changed["recency"] = _recency(draw)
    return msgspec.structs.replace(parent, **changed)


def repeating(masked: Composition) -> list[Composition]:
    """The composition as it is, and with bought products shown again at some weights of their own."""
    largest = max(masked.factors, masked.neighbours, masked.categories, masked.live)
    weights = (0.0, 0.03, 0.3, 3.0)
    return [masked, *(msgspec.structs.replace(masked, mask_bought=False, repeats=w * largest) for w in weights)]


def _recency(draw: Draw) -> tuple[Fading, ...]:
    lasting = Fading(float(draw.choice(RECENCIES_H)), 1.0)
    return (lasting, Fading(1.0, _scaled(0.5, draw))) if draw.random() < 0.5 else (lasting,)


def _scaled(value: float, draw: Draw) -> float:
    return float(f"{value * np.exp(draw.normal(scale=0.7)):.3g}")  # three digits are more than a window can tell


def _now() -> float:
    return time.monotonic()
