"""Attaches a state that follows the stream to each verified model, and detaches it from a model that is replaced.

The loader calls from its thread; the consumers run on the event loop.
"""

import asyncio
import concurrent.futures
import logging
from collections.abc import Coroutine
from typing import Any

from recsys.model import Model
from recsys.recommender import Recommender
from recsys.stream_apply import Deduplicator, StreamApplier
from services.common.erased import Erased
from services.recommender.partition_position import StreamStart
from services.recommender.products import ShopProducts
from services.recommender.service import clock_ms
from services.recommender.serving import ServingModel, StreamStatus
from services.recommender.settings import RecommenderSettings
from services.recommender.stream_follower import PurchaseConsumer

logger = logging.getLogger(__name__)

_POLL_S = 0.05


class ModelActivator:
    """Gives models their state, and takes it from them; closed with the service."""

    def __init__(
        self, settings: RecommenderSettings, loop: asyncio.AbstractEventLoop, products: ShopProducts | None = None
    ) -> None:
        """`products`: the shop's catalogue, which every model follows before it answers."""
        self._settings = settings
        self._loop = loop
        self._products = products
        self._consumers: dict[str, PurchaseConsumer] = {}  # by version
        self._rules = settings.event_rules

    def attach_state(self, model: Model) -> ServingModel:
        """The model with a state that has caught up with the stream, as far as Kafka answers.

        The first model of all answers once it knows the catalogue, and catches up with purchases meanwhile, since there
        is nothing better. Blocks; raises InterruptedError where the service ends.
        """
        seed = model.initial_state
        live = model.live_state()
        training = seed.training
        start = StreamStart(training.offsets, not_before_ms=model.created_at_ms)
        applier = StreamApplier(model.catalogue, model.scorer.categories, live, Deduplicator(), self._rules)
        first = not self._consumers
        consumer = PurchaseConsumer(self._settings, start, applier, model.version)
        self._on_loop(self._start(model, consumer, wait=not first))
        given = self._settings
        recommender = Recommender(model, live, consumer.age_ms, given.variety, given.rotation, given.exploration)
        return ServingModel(recommender, clock_ms(), consumer)

    def detach_state(self, served: ServingModel) -> None:
        """Stop following for a model that does not answer any more; its state is freed with it."""
        self._on_loop(self._stop(served.model.version))

    def use_erased(self, erased: Erased) -> None:
        """Follow without these customers from now on, for models to come as well."""
        self._rules = self._rules._replace(erased=erased)
        for consumer in self._consumers.values():
            consumer.use_rules(self._rules)

    async def close(self) -> None:
        """Stop following for every model."""
        for version in list(self._consumers):
            await self._stop(version)

    async def _start(self, model: Model, consumer: PurchaseConsumer, *, wait: bool) -> None:
        self._consumers[model.version] = consumer
        await consumer.start()
        if self._products is not None:
            await self._products.attach(model)
        if wait:
            await wait_caught_up(model.version, consumer, self._settings.recommender_patience_s)

    async def _stop(self, version: str) -> None:
        if self._products is not None:
            self._products.detach(version)
        if (consumer := self._consumers.pop(version, None)) is not None:
            await consumer.close()

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (concurrent.futures.CancelledError, RuntimeError) as ended:  # the loop is closed or closing
            work.close()
            raise InterruptedError("the service ends") from ended


async def wait_caught_up(version: str, stream: StreamStatus, patience_s: float) -> None:
    """Return once the end of the stream is reached, or where nothing was read for `patience_s`."""
    loop = asyncio.get_running_loop()
    read, since = stream.records_read, loop.time()
    while not stream.caught_up:
        if stream.records_read != read:
            read, since = stream.records_read, loop.time()
        elif loop.time() - since > patience_s:
            logger.warning(
                "model %s is serving with %s records of lag: Kafka is unavailable or slow",
                version,
                "an unknown number of" if stream.lag is None else stream.lag,
                extra={"model": version, "lag": stream.lag},
            )
            return
        await asyncio.sleep(_POLL_S)
