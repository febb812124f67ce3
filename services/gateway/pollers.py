"""The gateway's background tasks: what polls an upstream or serves the open streams, and how often each runs."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol, TypeVar

from services.common.tasks import Action
from services.common.telemetry import Health
from services.gateway.access.doorkeeper import Doorkeeper
from services.gateway.clients import Clients
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
from services.gateway.upstreams.job_report import JobReportPoller
from services.gateway.upstreams.offsets import OffsetPoller
from services.gateway.upstreams.recommender_client import ServingModelPoller
from services.gateway.upstreams.reconciliation import ReconciliationPoller

_SHARE_SECONDS = 1.0
# How often a recommender on this host is looked for while it does not answer on its socket.
_RECONNECT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Pollers:
    """What the background tasks keep up to date."""

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


class _Closable(Protocol):
    async def close(self) -> None: ...


Opened = TypeVar("Opened", bound=_Closable)


def _closed_by(stack: AsyncExitStack, opened: Opened) -> Opened:
    stack.push_async_callback(opened.close)
    return opened


def open_pollers(
    settings: GatewaySettings, health: Health, clients: Clients, doorkeeper: Doorkeeper, stack: AsyncExitStack
) -> Pollers:
    """Open all pollers and connect those that listen to each other. None runs before it is scheduled: `schedule`."""
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
    return Pollers(
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


def schedule(settings: GatewaySettings, clients: Clients, pollers: Pollers) -> list[tuple[Action, float]]:
    """Background task → its interval in seconds."""
    canaries = [(pollers.canary.send, settings.canary_seconds)] if settings.canary_seconds else []
    limits = settings.requests_per_minute is not None or settings.api_keys_file is not None
    shared = [(clients.shared_rates.refresh, _SHARE_SECONDS)] if settings.rates_shared and limits else []
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
