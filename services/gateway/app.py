"""The composition root: opens clients and pollers, wires the routes, and closes everything in reverse order."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fastapi import FastAPI

from services.common.eventloop_lag import watched_loop
from services.common.object_store import ObjectStore
from services.common.product_follower import ProductFollower
from services.common.redis_client import connect
from services.common.tasks import Action, run_periodically
from services.common.telemetry import Health
from services.common.version import running_version
from services.gateway.access.doorkeeper import Doorkeeper
from services.gateway.access.rates import RequestRates, SharedRates
from services.gateway.api import docs, openapi, problems, static_page
from services.gateway.api.hosts import AllowedHosts
from services.gateway.api.middleware import GatewayMiddleware
from services.gateway.api.overload import Shedding, SheddingMiddleware
from services.gateway.dependencies import Dependencies
from services.gateway.hooks.delivery import ShopSystem
from services.gateway.hooks.intake import HookIntake, hook_secrets
from services.gateway.hooks.secrets import HookSecrets
from services.gateway.login.admission import Admission, open_admission
from services.gateway.queries.ranges import RangeRankings
from services.gateway.queries.shards import LiveTables, open_live_tables
from services.gateway.routes import (
    catalogue,
    customers,
    events,
    hooks,
    models,
    privacy,
    products,
    recommendations,
    session,
    stats,
)
from services.gateway.routes import health as health_routes
from services.gateway.routes import stream as stream_routes
from services.gateway.routes import system as system_routes
from services.gateway.routes.customer_route import CustomerRouteMiddleware
from services.gateway.runbook import Runbook
from services.gateway.settings import GatewaySettings
from services.gateway.stream.canary import CanaryWatch
from services.gateway.stream.coalescer import Coalescer
from services.gateway.stream.hub import HEARTBEAT_SECONDS, StreamHub
from services.gateway.stream.permits import StreamPermits
from services.gateway.stream.shop_state import ShopStatePoller
from services.gateway.stream.ticker import TickerPoller
from services.gateway.stream.totals_history import TotalsHistory
from services.gateway.system_status import LoadReporter, ObjectStorePoller, ReadinessClient, SystemStatusPoller
from services.gateway.upstreams.alerts import AlertPoller
from services.gateway.upstreams.bestsellers import BestsellerCache
from services.gateway.upstreams.catalogue import ShopCatalogue
from services.gateway.upstreams.direct_client import DirectClient
from services.gateway.upstreams.event_intake import EventProducer
from services.gateway.upstreams.job_report import JobReportPoller
from services.gateway.upstreams.model_registry import ModelListings, Registry
from services.gateway.upstreams.offsets import OffsetPoller
from services.gateway.upstreams.privacy_desk import PrivacyDesk
from services.gateway.upstreams.recommendations import RecommendationsWithFallback
from services.gateway.upstreams.recommender_channel import RecommenderAccess
from services.gateway.upstreams.recommender_client import RecommenderClient, ServingModelPoller
from services.gateway.upstreams.reconciliation import ReconciliationPoller

ROUTERS = (
    session,
    stats,
    stream_routes,
    customers,
    recommendations,
    products,
    catalogue,
    events,
    hooks,
    models,
    privacy,
    system_routes,
    health_routes,
)

_S3_THREADS = 4
_SHARE_SECONDS = 1.0
# At the start, for the catalogue: a larger one is read while the gateway serves.
_CATALOGUE_SECONDS = 2.0
# How often a recommender on this host is looked for while it does not answer on its socket.
_RECONNECT_SECONDS = 0.5


def create_app(settings: GatewaySettings) -> FastAPI:
    """The gateway as an ASGI app. Its dependencies open and close with the app's lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_dependencies(settings) as dependencies:
            app.state.dependencies = dependencies
            yield

    app = FastAPI(
        title="Tillstream",
        version=running_version().number,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # It would read settings that are not ours, and put paths with customers' ids into traces.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    openapi.install(app)
    problems.install(app, [route for module in ROUTERS for route in module.router.routes])
    for module in ROUTERS:
        app.include_router(module.router)
    docs.install(app)
    static_page.install(app, settings.web_dist)
    app.add_middleware(CustomerRouteMiddleware, dependencies=lambda: app.state.dependencies)
    app.add_middleware(
        GatewayMiddleware,
        hosts=AllowedHosts(settings.gateway_hosts),
        image_hosts=settings.image_hosts,
        max_body_bytes=settings.max_body_bytes,
        draining=lambda: app.state.dependencies.health.draining,
    )
    app.state.shedding = Shedding(
        settings.recommendations_in_flight, lambda: app.state.dependencies.recommendations.answering
    )
    app.add_middleware(SheddingMiddleware, shedding=app.state.shedding)
    return app


@asynccontextmanager
async def open_dependencies(settings: GatewaySettings) -> AsyncIterator[Dependencies]:
    """Open all clients and pollers. The gateway starts without any of its upstreams: each client connects later."""
    async with AsyncExitStack() as stack:
        health = Health("gateway", checks=("redis",), stays_ready=True)
        secrets = hook_secrets(settings)
        clients = _open_clients(settings, stack)
        desk = PrivacyDesk(clients.store, clients.s3_threads)
        admission = open_admission(settings, desk.note_keys, stack)
        pollers = _open_pollers(settings, health, clients, admission.doorkeeper, stack)
        catalogue, follower = await _follow_products(settings, stack)
        # Where Redis is reachable, the first response has figures; where Kafka is, a small catalogue is known.
        await asyncio.gather(
            pollers.shop_state.refresh(), pollers.ticker.refresh(), follower.settled(_CATALOGUE_SECONDS)
        )
        await stack.enter_async_context(watched_loop(health))
        await stack.enter_async_context(run_periodically(_schedule(settings, clients, pollers)))
        credentials = [*secrets.values(), *(() if admission.keys is None else (admission.keys,))]
        await stack.enter_async_context(
            run_periodically([(each.refresh, settings.probe_seconds) for each in credentials])
        )
        inner = _Inner(health, clients, desk, pollers, catalogue)
        yield _dependencies(settings, admission, secrets, inner)


async def _follow_products(settings: GatewaySettings, stack: AsyncExitStack) -> tuple[ShopCatalogue, ProductFollower]:
    catalogue = ShopCatalogue()
    follower = ProductFollower(settings, catalogue)
    await follower.start()
    stack.push_async_callback(follower.close)
    return catalogue, follower


@dataclass(frozen=True, slots=True)
class _Clients:
    tables: LiveTables
    rates: RequestRates
    shared_rates: SharedRates
    recommender: RecommenderClient
    direct: DirectClient | None  # to a recommender on this host
    event_producer: EventProducer
    product_producer: EventProducer  # a fault of one topic leaves the other's writes alone
    store: ObjectStore
    s3_threads: ThreadPoolExecutor
    # Reads that hang must not keep an admin from a rollback.
    admin_threads: ThreadPoolExecutor


def _open_clients(settings: GatewaySettings, stack: AsyncExitStack) -> _Clients:
    rates = RequestRates(settings.requests_per_minute)
    direct = None if settings.recommender_socket is None else DirectClient(settings.recommender_socket)
    clients = _Clients(
        tables=open_live_tables(settings, settings.time_zone),
        rates=rates,
        shared_rates=SharedRates(rates, connect(settings)),
        recommender=RecommenderClient(
            settings.recommender_address,
            settings.recommender_deadline_ms,
            settings.recommender_batch_deadline_ms,
            _recommender_access(settings),
            direct,
        ),
        direct=direct,
        event_producer=EventProducer(settings, settings.purchases_topic),
        product_producer=EventProducer(settings, settings.products_topic),
        store=ObjectStore(settings),
        s3_threads=ThreadPoolExecutor(_S3_THREADS, "s3"),
        admin_threads=ThreadPoolExecutor(1, "admin"),
    )
    stack.push_async_callback(clients.tables.close)
    stack.push_async_callback(clients.shared_rates.close)
    stack.push_async_callback(clients.recommender.close)
    if direct is not None:
        stack.push_async_callback(direct.close)
    stack.push_async_callback(clients.event_producer.close)
    stack.push_async_callback(clients.product_producer.close)
    stack.callback(clients.store.close)
    stack.callback(clients.s3_threads.shutdown, wait=False, cancel_futures=True)
    stack.callback(clients.admin_threads.shutdown, wait=False, cancel_futures=True)
    return clients


def _recommender_access(settings: GatewaySettings) -> RecommenderAccess:
    token = settings.recommender_token
    # Of several, the first: the recommender accepts all while one is replaced.
    return RecommenderAccess(settings.recommender_files, token.get_secret_value().split()[0] if token else None)


@dataclass(frozen=True, slots=True)
class _Pollers:
    offsets: OffsetPoller
    serving_model: ServingModelPoller
    shop_state: ShopStatePoller
    changes: Coalescer
    ticker: TickerPoller
    totals_history: TotalsHistory
    stream_hub: StreamHub
    stream_permits: StreamPermits
    object_store: ObjectStorePoller
    reconciliation: ReconciliationPoller
    job_report: JobReportPoller
    canary: CanaryWatch
    alerts: AlertPoller
    system_status: SystemStatusPoller
    load: LoadReporter


@dataclass(frozen=True, slots=True)
class _Inner:
    """What the dependencies are made of."""

    health: Health
    clients: _Clients
    privacy_desk: PrivacyDesk
    pollers: _Pollers
    catalogue: ShopCatalogue


class _Closable(Protocol):
    async def close(self) -> None: ...


Opened = TypeVar("Opened", bound=_Closable)


def _closed_by(stack: AsyncExitStack, opened: Opened) -> Opened:
    stack.push_async_callback(opened.close)
    return opened


def _open_pollers(
    settings: GatewaySettings, health: Health, clients: _Clients, doorkeeper: Doorkeeper, stack: AsyncExitStack
) -> _Pollers:
    offsets = _closed_by(stack, OffsetPoller(settings))
    services = _closed_by(stack, ReadinessClient(settings))
    alerts = _closed_by(stack, AlertPoller(settings))
    serving_model = ServingModelPoller(clients.recommender)
    shop_state = ShopStatePoller(clients.tables, settings.purchases_topic, offsets, serving_model, health)
    ticker = TickerPoller(clients.tables)
    totals_history, stream_hub = TotalsHistory(), _stream_hub(settings, ticker)
    shop_state.listen(totals_history.on_shop_state)
    shop_state.listen(stream_hub.on_shop_state)
    canary = CanaryWatch(
        clients.event_producer.send_to,
        lambda: offsets.latest.offsets if offsets.latest else (),
        lambda: serving_model.as_of_ms,
    )
    shop_state.listen(canary.on_shop_state)  # after the hub: the open pages have been sent these figures
    ticker.listen(stream_hub.on_arrivals)
    changes = Coalescer(shop_state.refresh_changes, stream_hub.update_interval_s)
    ticker.listen(lambda _arrivals: changes.ask() if stream_hub.clients else None)
    shop_state.listen_to_changes(stream_hub.on_changes)
    object_store = ObjectStorePoller(clients.store, clients.s3_threads)
    return _Pollers(
        offsets=offsets,
        serving_model=serving_model,
        shop_state=shop_state,
        changes=changes,
        ticker=ticker,
        totals_history=totals_history,
        stream_hub=stream_hub,
        stream_permits=StreamPermits(doorkeeper.still, stream_hub),
        object_store=object_store,
        reconciliation=ReconciliationPoller(clients.store, clients.s3_threads),
        job_report=JobReportPoller(clients.store, clients.s3_threads),
        canary=canary,
        alerts=alerts,
        system_status=SystemStatusPoller(
            health,
            services=services,
            recommender=clients.recommender,
            offsets=offsets,
            shop_state=shop_state,
            object_store=object_store,
            alerts=alerts,
        ),
        load=LoadReporter(health, lambda: stream_hub.clients),
    )


def _stream_hub(settings: GatewaySettings, ticker: TickerPoller) -> StreamHub:
    return StreamHub(
        ticker,
        max_clients=settings.stream_clients,
        queue_limit=settings.stream_queue,
        send_timeout_s=settings.stream_patience_seconds,
        max_ticker_lines=settings.ticker_lines,
    )


def _schedule(settings: GatewaySettings, clients: _Clients, pollers: _Pollers) -> list[tuple[Action, float]]:
    """Background task → its interval in seconds."""
    canaries = [(pollers.canary.send, settings.canary_seconds)] if settings.canary_seconds else []
    shares = settings.rates_shared and settings.requests_per_minute is not None
    shared = [(clients.shared_rates.refresh, _SHARE_SECONDS)] if shares else []
    direct = [(clients.direct.connect, _RECONNECT_SECONDS)] if clients.direct is not None else []
    return [
        *canaries,
        *shared,
        *direct,
        (pollers.shop_state.refresh, settings.refresh_seconds),
        (pollers.changes.step, 0.0),
        (pollers.ticker.refresh, settings.ticker_seconds),
        (pollers.stream_hub.beat, HEARTBEAT_SECONDS),
        (pollers.stream_permits.refresh, settings.probe_seconds),
        (pollers.serving_model.refresh, settings.refresh_seconds),
        (pollers.offsets.refresh, settings.refresh_seconds),
        (clients.event_producer.connect, settings.probe_seconds),
        (clients.product_producer.connect, settings.probe_seconds),
        (clients.recommender.renew, settings.probe_seconds),
        (pollers.system_status.refresh, settings.probe_seconds),
        (pollers.alerts.refresh, settings.probe_seconds),
        (pollers.load.refresh, settings.probe_seconds),
        (pollers.object_store.refresh, settings.probe_seconds),
        (pollers.reconciliation.refresh, settings.reconciliation_seconds),
        (pollers.job_report.refresh, settings.reconciliation_seconds),
    ]


def _dependencies(
    settings: GatewaySettings,
    admission: Admission,
    secrets: Mapping[ShopSystem, HookSecrets],
    inner: _Inner,
) -> Dependencies:
    health, clients, pollers, catalogue = inner.health, inner.clients, inner.pollers, inner.catalogue
    bestsellers, registry = BestsellerCache(clients.tables, catalogue), Registry(clients.store)
    return Dependencies(
        settings=settings,
        doorkeeper=admission.doorkeeper,
        login=admission.login,
        rates=inner.clients.rates,
        health=health,
        tables=clients.tables,
        event_producer=clients.event_producer,
        product_producer=clients.product_producer,
        hooks={
            system: HookIntake(system, its_secrets, settings, clients.event_producer)
            for system, its_secrets in secrets.items()
        },
        model_registry=registry,
        model_listings=ModelListings(registry, clients.s3_threads),
        admin_threads=clients.admin_threads,
        privacy_desk=inner.privacy_desk,
        catalogue=catalogue,
        bestsellers=bestsellers,
        recommendations=RecommendationsWithFallback(
            clients.recommender, pollers.serving_model, bestsellers, clients.tables, catalogue
        ),
        range_rankings=RangeRankings(),
        shop_state=pollers.shop_state,
        totals_history=pollers.totals_history,
        stream_hub=pollers.stream_hub,
        stream_permits=pollers.stream_permits,
        serving_model=pollers.serving_model,
        reconciliation=pollers.reconciliation,
        system_status=pollers.system_status,
        runbook=Runbook(settings.alert_runbook),
    )
