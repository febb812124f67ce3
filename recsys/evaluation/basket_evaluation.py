"""The weights of baskets within a run: searched for before the split, decided on by the gate after it."""

from dataclasses import dataclass

from recsys.als_settings import EvaluationSettings
from recsys.basket_weights import DEFAULT_BASKET, BasketWeights, popular_basket
from recsys.evaluation.basket_gate import BasketDecision, decide_baskets
from recsys.evaluation.basket_search import SearchSize, basket_methods, choose_basket_weights
from recsys.evaluation.baskets import BasketProtocol, evaluate_baskets, share_of
from recsys.evaluation.gate import CANDIDATE, LIVE, POPULARITY, Json
from recsys.evaluation.training_view import TrainingView


@dataclass(frozen=True, slots=True)
class BasketResult:
    """The decision, and the record of the search; empty without one."""

    decision: BasketDecision
    search: Json


def evaluate_baskets_of(
    searched: TrainingView | None,
    gated: TrainingView,
    until_ms: int,
    live: BasketWeights | None,
    settings: EvaluationSettings,
) -> BasketResult:
    """Search from the moment of `searched` to that of `gated`, then decide on the orders up to `until_ms`.

    Without `searched` the candidate are the live weights, or the default ones.
    """
    configs, search = _candidates(searched, gated.moment_ms, live, settings)
    if live is not None:
        configs[LIVE] = live
    log = gated.log
    share = share_of(log, gated.last, log.at(until_ms), settings.gate_questions_asked)
    answers = evaluate_baskets(gated, until_ms, basket_methods(gated, configs), BasketProtocol(sample=share))
    return BasketResult(decide_baskets(answers, configs, settings.gate_questions), search)


def _candidates(
    searched: TrainingView | None, until_ms: int, live: BasketWeights | None, settings: EvaluationSettings
) -> tuple[dict[str, BasketWeights], Json]:
    """The candidate and popular products, by name. A refused candidate is on record with its reason."""
    if searched is None:
        candidate = live or DEFAULT_BASKET
        return {CANDIDATE: candidate, POPULARITY: popular_basket(candidate)}, {}
    size = SearchSize(settings.search_questions, settings.search_questions, seed=settings.search_seed)
    choice = choose_basket_weights(searched, until_ms, size)
    return {CANDIDATE: choice.strongest, POPULARITY: choice.popular}, choice.record()
