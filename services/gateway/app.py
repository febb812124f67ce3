"""The composition root: opens the parts, wires the routes, closes the parts."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from services.common.eventloop_lag import watched_loop
from services.common.object_store import ObjectStore
from services.common.tasks import run_periodically
from services.common.telemetry import Health
from services.common.version import running_version
from services.gateway.api import docs, openapi, problems, static_page
from services.gateway.api.hosts import AllowedHosts
from services.gateway.api.middleware import Shell
from services.gateway.dependencies import Parts
from services.gateway.queries.ranges import RangeRankings
from services.gateway.queries.shards import open_shards
from services.gateway.routes import customers, events, models, products, recommendations, stats
from services.gateway.routes import health as health_routes
from services.gateway.routes import stream as stream_routes
from services.gateway.routes import system as system_routes
from services.gateway.settings import GatewaySettings
from services.gateway.stream.hub import HEARTBEAT_SECONDS, StreamHub
from services.gateway.stream.shop_state import SnapshotWatch
from services.gateway.stream.ticker import Ticker
from services.gateway.stream.totals_history import Pulse
from services.gateway.system_status import BucketWatch, SystemWatch
from services.gateway.upstreams.bestsellers import PopularShelf
from services.gateway.upstreams.event_intake import Intake
from services.gateway.upstreams.model_registry import Registry
from services.gateway.upstreams.offsets import OffsetWatch
from services.gateway.upstreams.recommendations import Recommender
from services.gateway.upstreams.recommender_client import ModelWatch, RecommenderClient
from services.gateway.upstreams.reconciliation import BooksWatch

ROUTERS = (stats, stream_routes, customers, recommendations, products, events, models, system_routes, health_routes)

_S3_THREADS = 4


def create_app(settings: GatewaySettings) -> FastAPI:
    """The gateway as an ASGI app; its parts open with the app's lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_parts(settings) as parts:
            app.state.parts = parts
            yield

    app = FastAPI(
        title="Tillstream",
        version=running_version().number,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    openapi.install(app)
    problems.install(app)
    for module in ROUTERS:
        app.include_router(module.router)
    docs.install(app)
    static_page.install(app, settings.web_dist)
    app.add_middleware(Shell, hosts=AllowedHosts(settings.gateway_hosts), max_body_bytes=settings.max_body_bytes)
    return app


@asynccontextmanager
async def open_parts(settings: GatewaySettings) -> AsyncIterator[Parts]:
    """Every client and background task, closed in reverse order. Nothing needs to be reachable to begin."""
    async with AsyncExitStack() as stack:
        tables = open_shards(settings, settings.time_zone)
        stack.push_async_callback(tables.close)
        client = RecommenderClient(
            settings.recommender_address,
            settings.recommender_deadline_ms,
            settings.recommender_batch_deadline_ms,
        )
        stack.push_async_callback(client.close)
        offsets = OffsetWatch(settings)
        stack.push_async_callback(offsets.close)
        intake = Intake(settings)
        stack.push_async_callback(intake.close)
        store = ObjectStore(settings)
        stack.callback(store.close)
        s3_threads = ThreadPoolExecutor(_S3_THREADS, "s3")
        stack.callback(s3_threads.shutdown, wait=False, cancel_futures=True)

        health = Health("gateway", checks=("redis",))
        model = ModelWatch(client)
        snapshots = SnapshotWatch(tables, settings.purchases_topic, offsets, model, health)
        ticker = Ticker(tables)
        stream = StreamHub(
            ticker,
            clients=settings.stream_clients,
            queue=settings.stream_queue,
            patience=settings.stream_patience_seconds,
            lines=settings.ticker_lines,
        )
        pulse = Pulse()
        snapshots.listen(pulse.on_snapshot)
        snapshots.listen(stream.on_snapshot)
        ticker.listen(stream.on_arrivals)
        bucket = BucketWatch(store, s3_threads)
        books = BooksWatch(store, s3_threads)
        registry = Registry(store)
        system = SystemWatch(
            settings,
            health,
            offsets=offsets,
            snapshots=snapshots,
            recommender=client,
            bucket=bucket,
            open_pages=lambda: stream.clients,
        )
        stack.push_async_callback(system.close)
        rhythm = [
            (snapshots.refresh, settings.refresh_seconds),
            (ticker.refresh, settings.ticker_seconds),
            (stream.beat, HEARTBEAT_SECONDS),
            (model.refresh, settings.refresh_seconds),
            (offsets.refresh, settings.refresh_seconds),
            (intake.connect, settings.probe_seconds),
            (system.refresh, settings.probe_seconds),
            (bucket.refresh, settings.probe_seconds),
            (books.refresh, settings.reconciliation_seconds),
        ]
        shelf = PopularShelf(tables)
        # With the engines there, the first answer has figures; without, it starts all the same.
        await asyncio.gather(snapshots.refresh(), ticker.refresh())
        await stack.enter_async_context(watched_loop())
        await stack.enter_async_context(run_periodically(rhythm))
        yield Parts(
            settings=settings,
            health=health,
            tables=tables,
            snapshots=snapshots,
            shelf=shelf,
            recommender=Recommender(client, model, shelf, tables),
            stream=stream,
            intake=intake,
            system=system,
            model=model,
            pulse=pulse,
            ranges=RangeRankings(),
            registry=registry,
            books=books,
            s3_threads=s3_threads,
        )
