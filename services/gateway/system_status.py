"""The state of every service and engine, polled in the background so that no request waits for one that hangs."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from services.common.metrics import GATEWAY_RECOMMENDATIONS
from services.common.object_store import ObjectStore
from services.common.telemetry import Health
from services.common.times import format_time
from services.gateway.api.schemas.system import Component, SystemResponse
from services.gateway.settings import GatewaySettings
from services.gateway.stream.shop_state import ShopStatePoller
from services.gateway.upstreams.alerts import AlertPoller
from services.gateway.upstreams.offsets import OffsetPoller
from services.gateway.upstreams.outages import OutageLog
from services.gateway.upstreams.recommender_client import RecommenderClient
from services.gateway.upstreams.trusted import trusted

_TIMEOUT_SECONDS = 1.0
_HANGS_SECONDS = 5.0


class ObjectStorePoller:
    """Polls whether the bucket is reachable. A call that hangs blocks only this poller."""

    def __init__(self, store: ObjectStore, threads: Executor) -> None:
        self._store = store
        self._threads = threads
        self._outages = OutageLog()
        self._asked_at: float | None = None
        self._found: tuple[bool, str] | None = None

    async def refresh(self) -> None:
        """Ask once."""
        self._asked_at = time.monotonic()
        try:
            exists = await asyncio.get_running_loop().run_in_executor(self._threads, self._store.exists)
        except (BotoCoreError, ClientError) as error:
            self._found = (False, self._outages.started("s3", error))
        else:
            self._outages.recovered("s3")
            self._found = (exists, f"bucket {self._store.bucket}" if exists else f"no bucket {self._store.bucket}")
        self._asked_at = None

    def component(self) -> Component:
        """S3 as last seen."""
        if self._asked_at is not None and time.monotonic() - self._asked_at > _HANGS_SECONDS:
            return Component(name="s3", kind="engine", status="unreachable", detail="no response yet")
        if self._found is None:
            return Component(name="s3", kind="engine", status="unknown", detail="not asked yet")
        ok, detail = self._found
        return Component(name="s3", kind="engine", status="ok" if ok else "unreachable", detail=detail)


class Rate:
    """The rate of a counter between two calls."""

    def __init__(self) -> None:
        self._seen: tuple[float, float] | None = None

    def of(self, count: float) -> float | None:
        """Increase per second since the last call; None at the first."""
        now, seen = time.monotonic(), self._seen
        self._seen = (now, count)
        return None if seen is None else (count - seen[1]) / max(now - seen[0], 1e-3)


def recommendations_answered() -> float:
    """Recommendation responses since the start, over all strategies."""
    samples = (sample for metric in GATEWAY_RECOMMENDATIONS.collect() for sample in metric.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


class LoadReporter:
    """Reports the gateway's own load in its /readyz: open pages, and recommendations per second."""

    def __init__(self, health: Health, open_pages: Callable[[], int]) -> None:
        self._health = health
        self._open_pages = open_pages
        self._recommendations = Rate()

    async def refresh(self) -> None:
        """Report once."""
        self._health.report("open_pages", self._open_pages())
        self._health.report("recommendations_per_second", self._recommendations.of(recommendations_answered()))


class ReadinessClient:
    """Asks the other services for their /readyz."""

    def __init__(self, settings: GatewaySettings) -> None:
        # Never through a proxy.
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False, verify=trusted())
        self._outages = OutageLog()
        self._urls = {
            "producer": settings.producer_telemetry,
            "archiver": settings.archiver_telemetry,
            "aggregator": settings.aggregator_telemetry,
            "recommender": settings.recommender_telemetry,
        }

    async def components(self) -> Sequence[Component]:
        """Every service, all asked at the same time."""
        return await asyncio.gather(*(self._ask(name, url) for name, url in self._urls.items()))

    async def _ask(self, name: str, url: str) -> Component:
        try:
            readyz = (await self._http.get(f"{url.rstrip('/')}/readyz")).json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return Component(name=name, kind="service", status="unreachable", detail=self._outages.started(name, error))
        if not isinstance(readyz, dict) or readyz.get("service") != name:
            self._outages.started(name, ValueError(f"the service at {url} is not the {name}"))
            detail = f"the service that answers is not the {name}"
            return Component(name=name, kind="service", status="unreachable", detail=detail)
        self._outages.recovered(name)
        return service_component(name, readyz)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class SystemStatusPoller:
    """Polls the services, and joins their state with what the gateway knows of the engines."""

    def __init__(
        self,
        health: Health,
        *,
        services: ReadinessClient,
        recommender: RecommenderClient,
        offsets: OffsetPoller,
        shop_state: ShopStatePoller,
        object_store: ObjectStorePoller,
        alerts: AlertPoller,
    ) -> None:
        self._health = health
        self._readiness = services
        self._recommender = recommender
        self._offsets = offsets
        self._shop_state = shop_state
        self._object_store = object_store
        self._alerts = alerts
        self._services: list[Component] = []
        self._asked_ms: int | None = None

    async def refresh(self) -> None:
        """Ask all services once."""
        services, serving = await asyncio.gather(self._readiness.components(), self._recommender.serving())
        self._services = [_with_grpc(each, serving) if each.name == "recommender" else each for each in services]
        self._asked_ms = time.time_ns() // 1_000_000

    def response(self) -> SystemResponse:
        """Every service and engine as last seen."""
        components = [
            service_component("gateway", self._health.describe()),
            *map(self._with_figures, self._services),
            self._kafka(),
            self._redis(),
            self._object_store.component(),
        ]
        return SystemResponse(
            healthy=all(each.status == "ok" for each in components if each.name != "producer"),
            as_of=None if self._asked_ms is None else format_time(self._asked_ms),
            parts=components,
            alerts=self._alerts.response(),
        )

    def _with_figures(self, component: Component) -> Component:
        state = self._shop_state.latest
        if component.name != "aggregator" or state is None:
            return component
        rate = state.events_per_second if component.rate is None else component.rate
        lag = state.lag if component.lag is None else component.lag
        return component.model_copy(update={"rate": rate, "lag": lag})

    def _kafka(self) -> Component:
        log_end = self._offsets.latest
        status = "ok" if log_end else "unreachable"
        rate = log_end.rate if log_end else None
        return Component(name="kafka", kind="engine", status=status, detail=self._offsets.detail, rate=rate)

    def _redis(self) -> Component:
        check = self._health.describe()["checks"]["redis"]
        status = "ok" if check["ok"] else "unreachable"
        return Component(name="redis", kind="engine", status=status, detail=check["detail"] or "answers")


def service_component(name: str, readyz: Mapping[str, Any]) -> Component:
    """A service from the body of its /readyz. The reason why a check fails stays there and in the log."""
    checks: Mapping[str, Mapping[str, Any]] = readyz.get("checks", {})
    figures: dict[str, Any] = readyz.get("figures", {})
    failing = [check for check, state in checks.items() if not state.get("ok")]
    return Component(
        name=name,
        kind="service",
        status="ok" if readyz.get("ready") and not failing else "not_ready",
        detail=_what_is_missing(failing, stopping=bool(readyz.get("draining"))),
        version=readyz.get("version"),
        rate=_number(figures.get("events_per_second")),
        lag=_whole(figures.get("lag")),
        figures=figures,
    )


def _what_is_missing(failing: Sequence[str], *, stopping: bool) -> str:
    if failing:
        return f"waits for {', '.join(failing)}"
    return "stopping" if stopping else "ready"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _with_grpc(recommender: Component, serving: bool) -> Component:
    if serving or recommender.status != "ok":
        return recommender
    return recommender.model_copy(update={"status": "not_ready", "detail": "gRPC health is not SERVING"})
