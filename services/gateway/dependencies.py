"""The dependencies of the routes: opened by the composition root, reached through the request."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from fastapi import Request

from services.common.telemetry import Health
from services.gateway.access.doorkeeper import Doorkeeper
from services.gateway.access.rates import RequestRates
from services.gateway.hooks.delivery import ShopSystem
from services.gateway.hooks.intake import HookIntake
from services.gateway.login.flow import Login
from services.gateway.queries.ranges import RangeRankings
from services.gateway.queries.shards import LiveTables, ShardReader
from services.gateway.runbook import Runbook
from services.gateway.settings import GatewaySettings
from services.gateway.stream.hub import StreamHub
from services.gateway.stream.permits import StreamPermits
from services.gateway.stream.shop_state import ShopStatePoller
from services.gateway.stream.totals_history import TotalsHistory
from services.gateway.system_status import SystemStatusPoller
from services.gateway.upstreams.bestsellers import BestsellerCache
from services.gateway.upstreams.catalogue import ShopCatalogue
from services.gateway.upstreams.event_intake import EventProducer
from services.gateway.upstreams.model_registry import ModelListings, Registry
from services.gateway.upstreams.privacy_desk import PrivacyDesk
from services.gateway.upstreams.recommendations import RecommendationsWithFallback
from services.gateway.upstreams.recommender_client import ServingModelPoller
from services.gateway.upstreams.reconciliation import ReconciliationPoller


@dataclass(frozen=True, slots=True)
class Dependencies:
    """All that a route may use."""

    settings: GatewaySettings
    doorkeeper: Doorkeeper
    login: Login | None
    rates: RequestRates
    health: Health
    tables: LiveTables
    event_producer: EventProducer
    product_producer: EventProducer
    hooks: Mapping[ShopSystem, HookIntake]
    model_registry: Registry
    model_listings: ModelListings
    admin_threads: Executor
    privacy_desk: PrivacyDesk
    catalogue: ShopCatalogue
    bestsellers: BestsellerCache
    recommendations: RecommendationsWithFallback
    range_rankings: RangeRankings
    shop_state: ShopStatePoller
    totals_history: TotalsHistory
    stream_hub: StreamHub
    stream_permits: StreamPermits
    serving_model: ServingModelPoller
    reconciliation: ReconciliationPoller
    system_status: SystemStatusPoller
    runbook: Runbook

    @property
    def shards(self) -> ShardReader:
        """A reader of the live generation. A response that reads twice, or needs the time zone, takes it once."""
        return self.tables.reader


def get_dependencies(request: Request) -> Dependencies:
    """The dependencies of the app that serves this request."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies
