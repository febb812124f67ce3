"""Gives each verified model a state that follows the stream, and takes it away again.

The loader calls from its thread, the followers live on the event loop.
"""

import asyncio
import concurrent.futures
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from recsys.model import Model
from recsys.recommender import Recommender
from recsys.stream_apply import Intake, Repeats
from services.recommender.model_loader import LiveModel
from services.recommender.service import clock_ms
from services.recommender.settings import RecommenderSettings
from services.recommender.stream_follower import Follower, StreamStart

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.05


class Progress(Protocol):
    """What tells whether a state comes closer to the stream."""

    @property
    def records_read(self) -> int:
        """Records taken from Kafka so far, those before the cut-off as well."""

    @property
    def lag(self) -> int | None:
        """Records not yet applied; None before Kafka has told."""

    @property
    def is_level(self) -> bool:
        """Whether the stream's end was reached."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What moves a state on, as answers and health see it."""

    follower: Follower

    @property
    def lag(self) -> int | None:
        """Records not yet applied; None before Kafka has told."""
        return self.follower.lag

    @property
    def records_read(self) -> int:
        """Records taken from Kafka so far, those before the cut-off as well."""
        return self.follower.records_read

    @property
    def is_level(self) -> bool:
        """Whether the stream's end was reached."""
        return self.follower.caught_up.is_set()

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
        return LiveModel(Recommender(model, live, followed.age_ms), clock_ms(), followed)

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
            await until_level(version, followed, self._settings.recommender_patience_s)

    async def _stop(self, version: str) -> None:
        if (followed := self._followed.pop(version, None)) is not None:
            await followed.follower.close()

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (concurrent.futures.CancelledError, RuntimeError) as ended:  # the loop is closed or closing
            work.close()
            raise InterruptedError("the service ends") from ended


async def until_level(version: str, following: Progress, patience_s: float) -> None:
    """Return once the stream's end is reached, or where nothing was read for `patience_s`."""
    loop = asyncio.get_running_loop()
    read, since = following.records_read, loop.time()
    while not following.is_level:
        if following.records_read != read:
            read, since = following.records_read, loop.time()
        elif loop.time() - since > patience_s:
            logger.warning(
                "model %s answers although it is behind the stream by %s records: Kafka is away or slow",
                version,
                "an unknown number of" if following.lag is None else following.lag,
            )
            return
        await asyncio.sleep(_LOOK_EVERY_S)
