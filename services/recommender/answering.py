"""Answers to customers: each by the model that the customer is assigned to, counted, and recorded where sampled."""

import time
from collections.abc import Callable, Sequence

from recsys.answers import Answer, Strategy
from recsys.catalogue import Filters
from services.common.erased import Erased
from services.common.metrics import RECOMMENDER_ANSWERS, RECOMMENDER_SCORING_SECONDS
from services.common.times import format_time
from services.recommender.impressions import Impression, ImpressionLog
from services.recommender.interceptors import NoModel
from services.recommender.responses import Source
from services.recommender.serving import Serving, ServingModel

_NOBODY = ""  # is no id

# Looked up once: that takes longer than counting and timing.
_METRICS = {
    strategy: (RECOMMENDER_ANSWERS.labels(strategy.value), RECOMMENDER_SCORING_SECONDS.labels(strategy.value))
    for strategy in Strategy
}


class CustomerAnswers:
    """Answers customers from a state of serving.

    Scoring runs on the event loop: it takes less than a millisecond, and a thread would contend for the interpreter
    lock between its many short calls.
    """

    def __init__(self, impressions: ImpressionLog | None, erased: Callable[[], Erased | None]) -> None:
        """`impressions` records a sample. `erased`: customers to answer as unknown ones, and never recorded."""
        self._impressions = impressions
        self._erased = erased

    def for_users(
        self, serving: Serving, user_ids: Sequence[str], k: int, filters: Filters, now_ms: int
    ) -> list[tuple[Source, Answer]]:
        """The answers in the order asked, each with the model that gave it. Raises NoModel."""
        main = main_model(serving)
        asked = [serving.model_for(user_id) for user_id in user_ids]
        found: dict[int, tuple[Source, Answer]] = {}
        for name in dict.fromkeys(name for name, _ in asked):
            places = [place for place, (variant, _) in enumerate(asked) if variant == name]
            source = Source(asked[places[0]][1] or main, name, now_ms)
            some = [user_ids[place] for place in places]
            known = [_NOBODY if self._is_erased(user_id) else user_id for user_id in some]
            started = time.perf_counter()
            answers = source.served.recommender.for_users(known, k, filters, now_ms)
            count_answers(answers, time.perf_counter() - started)
            for place, user_id, answer in zip(places, some, answers, strict=True):
                self._record(source, user_id, answer)
                found[place] = source, answer
        return [found[place] for place in range(len(user_ids))]

    def _record(self, source: Source, user_id: str, answer: Answer) -> None:
        if self._impressions is not None and not self._is_erased(user_id):
            self._impressions.add(user_id, lambda: _impression(source, user_id, answer))

    def _is_erased(self, user_id: str) -> bool:
        erased = self._erased()
        return erased is not None and user_id in erased


def main_model(serving: Serving) -> ServingModel:
    """The model of everything that no variant answers. Raises NoModel."""
    if serving.main is None:
        refused = f"; version {serving.refusal.version} was refused" if serving.refusal else ""
        raise NoModel(f"no model is loaded yet{refused}")
    return serving.main


def count_answers(answers: Sequence[Answer], seconds: float) -> None:
    """Count the answers that were scored together in so many seconds."""
    for answer in answers:
        counted, timed = _METRICS[answer.strategy]
        counted.inc()
        timed.observe(seconds / len(answers))


def _impression(source: Source, user_id: str, answer: Answer) -> Impression:
    model = source.served.model
    return Impression(
        time=format_time(source.now_ms),
        user_id=user_id,
        variant=source.variant,
        model_version=model.version,
        strategy=answer.strategy.value,
        product_ids=[model.catalogue.product_ids[pick.product] for pick in answer.picks],
    )
