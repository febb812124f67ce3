"""The composition root: opens clients and pollers, and closes everything in reverse order."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.common.eventloop_lag import watched_loop
from services.common.product_follower import ProductFollower
from services.common.tasks import run_periodically
from services.common.telemetry import Health
from services.gateway.clients import Clients, open_clients
from services.gateway.dependencies import Dependencies
from services.gateway.hooks.delivery import ShopSystem
from services.gateway.hooks.intake import HookIntake, hook_secrets
from services.gateway.hooks.secrets import HookSecrets
from services.gateway.login.admission import Admission, open_admission
from services.gateway.pollers import Pollers, open_pollers, schedule
from services.gateway.queries.ranges import RangeRankings
from services.gateway.runbook import Runbook
from services.gateway.settings import GatewaySettings
from services.gateway.upstreams.bestsellers import BestsellerCache
from services.gateway.upstreams.catalogue import ShopCatalogue
from services.gateway.upstreams.model_registry import ModelListings, Registry
from services.gateway.upstreams.privacy_desk import PrivacyDesk
from services.gateway.upstreams.recommendations import RecommendationsWithFallback

# At the start, for the catalogue: a larger one is read while the gateway serves.
_CATALOGUE_SECONDS = 2.0


@asynccontextmanager
async def open_dependencies(settings: GatewaySettings) -> AsyncIterator[Dependencies]:
    """Open all clients and pollers. The gateway starts without any of its upstreams: each client connects later."""
    async with AsyncExitStack() as stack:
        health = Health("gateway", checks=("redis",), stays_ready=True)
        secrets = hook_secrets(settings)
        clients = open_clients(settings, stack)
        desk = PrivacyDesk(clients.store, clients.s3_threads)
        admission = open_admission(settings, desk.note_keys, stack)
        pollers = open_pollers(settings, health, clients, admission.doorkeeper, stack)
        catalogue, follower = await _follow_products(settings, stack)
        # Where Redis is reachable, the first response has figures; where Kafka is, a small catalogue is known.
        await asyncio.gather(
            pollers.shop_state.refresh(), pollers.ticker.refresh(), follower.settled(_CATALOGUE_SECONDS)
        )
        await stack.enter_async_context(watched_loop(health))
        await stack.enter_async_context(run_periodically(schedule(settings, clients, pollers)))
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
class _Inner:
    """What the dependencies are made of."""

    health: Health
    clients: Clients
    privacy_desk: PrivacyDesk
    pollers: Pollers
    catalogue: ShopCatalogue


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
