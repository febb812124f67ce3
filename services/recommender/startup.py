"""Gives each verified model a state that follows the stream, and takes it away again.

The loader calls from its thread, the followers live on the event loop.
"""

import asyncio
import concurrent.futures
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from services.recommender.following import Follower, StreamStart
from services.recommender.intake import Intake, Repeats
from services.recommender.loader import LiveModel
from services.recommender.model import Model
from services.recommender.recommend import Recommender
from services.recommender.service import clock_ms
from services.recommender.settings import RecommenderSettings

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Followed:
    """What moves a state on, as answers and health see it."""

    follower: Follower

    @property
    def lag(self) -> int | None:
        """Records not yet applied; None before the first contact with Kafka."""
        return None if self.follower.age_ms(0) is None else self.follower.lag

    @property
    def events_per_second(self) -> float | None:
        """Purchases applied a second; None before the first contact."""
        return self.follower.events_per_second

    def age_ms(self, now_ms: int) -> int | None:
        """How old what is known of the stream is; None before the first contact."""
        return self.follower.age_ms(now_ms)


class StartUp:
    """Brings models up and lets them go; closed with the service."""

    def __init__(self, settings: RecommenderSettings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._loop = loop
        self._followed: dict[str, Followed] = {}  # by version

    def bring_up(self, model: Model) -> LiveModel:
        """A model that knows the stream, as far as Kafka tells; the first one of all answers at once and catches up
        meanwhile, since nothing better is there. Blocks; raises InterruptedError where the service ends."""
        seed = model.seed
        live = model.live_state()
        training = seed.training
        start = StreamStart(training.offsets, training.rows, not_before_ms=model.created_at_ms)
        intake = Intake(model.catalogue, model.scorer.categories, live, Repeats(training.rows))
        first = not self._followed
        followed = Followed(Follower(self._settings, start, intake, model.version))
        self._on_loop(self._start(model.version, followed, wait=not first))
        return LiveModel(Recommender(model, live), clock_ms(), followed)

    def let_go(self, live: LiveModel) -> None:
        """Stop following for a model that answers no more; its state is freed with it."""
        self._on_loop(self._stop(live.model.version))

    async def close(self) -> None:
        """Stop following altogether."""
        for version in list(self._followed):
            await self._stop(version)

    async def _start(self, version: str, followed: Followed, *, wait: bool) -> None:
        self._followed[version] = followed
        await followed.follower.start()
        if wait:
            await self._until_level(version, followed)

    async def _until_level(self, version: str, followed: Followed) -> None:
        """Return once the stream's end is reached, or where no progress was made for a while."""
        fewest, since = None, self._loop.time()
        while not followed.follower.caught_up.is_set():
            if (lag := followed.lag) is not None and (fewest is None or lag < fewest):
                fewest, since = lag, self._loop.time()
            elif self._loop.time() - since > self._settings.recommender_patience_s:
                logger.warning(
                    "model %s answers although it is behind the stream by %s records: Kafka is away or slow",
                    version,
                    "an unknown number of" if fewest is None else fewest,
                )
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _stop(self, version: str) -> None:
        if (followed := self._followed.pop(version, None)) is not None:
            await followed.follower.close()

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (concurrent.futures.CancelledError, RuntimeError) as ended:  # the loop is closed or closing
            work.close()
            raise InterruptedError("the service ends") from ended
