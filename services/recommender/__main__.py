"""`python -m services.recommender`: opens and closes everything the recommender holds."""

import asyncio
import contextlib
import signal
import sys

from services.common.entrypoint import WRONG_SETTINGS, run_service
from services.common.eventloop_lag import watched_loop
from services.common.object_store import ObjectStore
from services.common.tasks import run_periodically
from services.common.telemetry import Health, TelemetryServer
from services.recommender.answering import CustomerAnswers
from services.recommender.direct import DirectServer, SocketInUse
from services.recommender.erasures import POLL_S, ErasureFollower
from services.recommender.impressions import ImpressionLog
from services.recommender.model_loader import ModelLoader
from services.recommender.model_startup import ModelActivator
from services.recommender.products import ShopProducts
from services.recommender.server import RecommenderServer, Wire
from services.recommender.service import clock_ms
from services.recommender.serving import Serving
from services.recommender.settings import RecommenderSettings

SERVICE = "recommender"
GRACE_S = 5.0
_REPORT_S = 1.0


async def serve(settings: RecommenderSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises PortInUse."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = Health(SERVICE, checks=("model",))
    store = ObjectStore(settings)

    def on_change(serving: Serving) -> None:
        show(health, serving)
        asyncio.run_coroutine_threadsafe(server.show_health(), loop)

    products = ShopProducts(settings, settings.recommender_patience_s, settings.recommender_unsold_products)
    activator = ModelActivator(settings, loop, products)
    loader = ModelLoader(
        store,
        settings.model_poll_s,
        on_change,
        attach_state=activator.attach_state,
        detach_state=activator.detach_state,
        spare=settings.recommender_spare_products,
    )
    impressions = ImpressionLog(settings, settings.recommendations_topic, settings.recommendations_share)
    erasures = ErasureFollower(store, activator, lambda: loader.serving)
    server = RecommenderServer(
        lambda: loader.serving,
        settings.recommender_max_concurrent,
        impressions,
        wire=Wire(
            settings.server_files,
            settings.tokens,
            settings.recommender_connection_seconds,
            settings.recommender_reflection,
        ),
        erased=lambda: erasures.erased,
    )
    direct = DirectServer(
        lambda: loader.serving,
        CustomerAnswers(impressions, lambda: erasures.erased),
        clock_ms,
        settings.recommender_max_concurrent,
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(store.close)
        stack.enter_context(TelemetryServer(settings.host, settings.metrics_port, health))
        await products.start()
        stack.push_async_callback(products.close)
        stack.push_async_callback(activator.close)
        stack.push_async_callback(impressions.close)
        await server.start(settings.host, settings.recommender_port)
        stack.push_async_callback(server.close, GRACE_S)
        if settings.recommender_socket is not None:
            await direct.start(settings.recommender_socket)
            stack.push_async_callback(direct.close)
        await impressions.start()
        stack.callback(loader.close)
        await stack.enter_async_context(run_periodically([(erasures.step, POLL_S)]))
        loader.start()
        await stack.enter_async_context(watched_loop(health))
        await _until(stop, health, loader)
        health.drain()
        await server.drain(settings.drain_seconds)


def show(health: Health, serving: Serving) -> None:
    """Ready = a model answers; a refused version is reported with it."""
    served, refusal = serving.main, serving.refusal
    refused = f"refused {refusal.version}: {refusal.reason}" if refusal else ""
    health.set("model", served is not None, served.model.version if served else refused or "no model yet")
    health.report("model_version", served.model.version if served else None)
    health.report("model_users", served.model.users if served else None)
    health.report("model_items", served.model.items if served else None)
    health.report("model_refused", refused or None)
    health.report("variants", ", ".join(f"{v.name}: {v.version}" for v in serving.variants) or None)


def show_stream(health: Health, serving: Serving) -> None:
    """How far the state of the main model follows the stream."""
    stream = serving.main.stream if serving.main else None
    health.report("lag", stream.lag if stream else None)
    health.report("state_age_ms", stream.age_ms(clock_ms()) if stream else None)
    health.report("events_per_second", stream.events_per_second if stream else None)


async def _until(stop: asyncio.Event, health: Health, loader: ModelLoader) -> None:
    """Report how far the stream is followed, until `stop`."""
    while not stop.is_set():
        show_stream(health, loader.serving)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _REPORT_S)


def main() -> int:
    """The exit code: 0 after a signal, 2 for a mistake in settings or a port in use."""
    return run_service(SERVICE, RecommenderSettings, _run, {SocketInUse: WRONG_SETTINGS})


def _run(settings: RecommenderSettings) -> int:
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
