"""The state of every part, asked in the background so that the page never waits for a part that hangs."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from services.common.events import format_time
from services.common.metrics import GATEWAY_RECOMMENDATIONS
from services.common.object_store import ObjectStore
from services.common.telemetry import Health
from services.gateway.api.schemas import Part, SystemAnswer
from services.gateway.settings import GatewaySettings
from services.gateway.stream.shop_state import SnapshotWatch
from services.gateway.upstreams.offsets import OffsetWatch
from services.gateway.upstreams.outages import Outages
from services.gateway.upstreams.recommender_client import RecommenderClient

_TIMEOUT_SECONDS = 1.0
_HANGS_SECONDS = 5.0


class BucketWatch:
    """Whether the bucket can be reached. A hanging store holds up nothing but this."""

    def __init__(self, store: ObjectStore, threads: Executor) -> None:
        self._store = store
        self._threads = threads
        self._outages = Outages()
        self._asked_at: float | None = None
        self._found: tuple[bool, str] | None = None

    async def refresh(self) -> None:
        """Ask once."""
        self._asked_at = time.monotonic()
        try:
            exists = await asyncio.get_running_loop().run_in_executor(self._threads, self._store.exists)
        except (BotoCoreError, ClientError) as error:
            self._found = (False, self._outages.begun("s3", error))
        else:
            self._outages.over("s3")
            self._found = (exists, f"bucket {self._store.bucket}" if exists else f"no bucket {self._store.bucket}")
        self._asked_at = None

    def part(self) -> Part:
        """As answered."""
        if self._asked_at is not None and time.monotonic() - self._asked_at > _HANGS_SECONDS:
            return Part(name="s3", kind="engine", status="unreachable", detail="no answer yet")
        if self._found is None:
            return Part(name="s3", kind="engine", status="unknown", detail="not asked yet")
        ok, detail = self._found
        return Part(name="s3", kind="engine", status="ok" if ok else "unreachable", detail=detail)


class Rate:
    """How fast a count rises, from one look at it to the next."""

    def __init__(self) -> None:
        self._seen: tuple[float, float] | None = None

    def of(self, count: float) -> float | None:
        """A second, since the last call; None at the first."""
        now, seen = time.monotonic(), self._seen
        self._seen = (now, count)
        return None if seen is None else (count - seen[1]) / max(now - seen[0], 1e-3)


def recommendations_answered() -> float:
    """All answers with recommended products since the start, whatever the strategy."""
    samples = (sample for metric in GATEWAY_RECOMMENDATIONS.collect() for sample in metric.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


class SystemWatch:
    """Asks the services' /readyz and puts the answers beside what the gateway knows of the engines."""

    def __init__(
        self,
        settings: GatewaySettings,
        health: Health,
        *,
        offsets: OffsetWatch,
        snapshots: SnapshotWatch,
        recommender: RecommenderClient,
        bucket: BucketWatch,
        open_pages: Callable[[], int],
    ) -> None:
        self._health = health
        self._open_pages = open_pages
        self._answered = Rate()
        self._offsets = offsets
        self._snapshots = snapshots
        self._recommender = recommender
        self._bucket = bucket
        self._outages = Outages()
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False)  # never through a proxy
        self._urls = {
            "producer": settings.producer_telemetry,
            "archiver": settings.archiver_telemetry,
            "aggregator": settings.aggregator_telemetry,
            "recommender": settings.recommender_telemetry,
        }
        self._services: list[Part] = []
        self._asked_ms: int | None = None

    async def refresh(self) -> None:
        """Ask all services once, at the same time."""
        services, serving = await asyncio.gather(
            asyncio.gather(*(self._ask(name, url) for name, url in self._urls.items())), self._recommender.serving()
        )
        self._services = [_with_grpc(part, serving) if part.name == "recommender" else part for part in services]
        self._asked_ms = time.time_ns() // 1_000_000
        self._health.report("open_pages", self._open_pages())
        self._health.report("recommendations_per_second", self._answered.of(recommendations_answered()))

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def _ask(self, name: str, url: str) -> Part:
        try:
            described = (await self._http.get(f"{url.rstrip('/')}/readyz")).json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return Part(name=name, kind="service", status="unreachable", detail=self._outages.begun(name, error))
        if not isinstance(described, dict) or described.get("service") != name:
            self._outages.begun(name, ValueError(f"what answers at {url} is not the {name}"))
            return Part(name=name, kind="service", status="unreachable", detail=f"what answers is not the {name}")
        self._outages.over(name)
        return service_part(name, described)

    def answer(self) -> SystemAnswer:
        """Every part as last known."""
        parts = [
            service_part("gateway", self._health.describe()),
            *map(self._with_figures, self._services),
            self._kafka(),
            self._redis(),
            self._bucket.part(),
        ]
        return SystemAnswer(
            healthy=all(part.status == "ok" for part in parts if part.name != "producer"),
            as_of=None if self._asked_ms is None else format_time(self._asked_ms),
            parts=parts,
        )

    def _with_figures(self, part: Part) -> Part:
        snapshot = self._snapshots.latest
        if part.name != "aggregator" or snapshot is None:
            return part
        rate = snapshot.events_per_second if part.rate is None else part.rate
        return part.model_copy(update={"rate": rate, "lag": snapshot.lag if part.lag is None else part.lag})

    def _kafka(self) -> Part:
        log_end = self._offsets.latest
        status = "ok" if log_end else "unreachable"
        rate = log_end.rate if log_end else None
        return Part(name="kafka", kind="engine", status=status, detail=self._offsets.detail, rate=rate)

    def _redis(self) -> Part:
        check = self._health.describe()["checks"]["redis"]
        status = "ok" if check["ok"] else "unreachable"
        return Part(name="redis", kind="engine", status=status, detail=check["detail"] or "answers")


def service_part(name: str, described: Mapping[str, Any]) -> Part:
    """A service's part from the body of its /readyz. Why a check fails is told there and in the log, not here."""
    checks: Mapping[str, Mapping[str, Any]] = described.get("checks", {})
    figures: dict[str, Any] = described.get("figures", {})
    failing = [check for check, state in checks.items() if not state.get("ok")]
    return Part(
        name=name,
        kind="service",
        status="ok" if described.get("ready") else "not_ready",
        detail=f"waits for {', '.join(failing)}" if failing else "ready",
        version=described.get("version"),
        rate=_number(figures.get("events_per_second")),
        lag=_whole(figures.get("lag")),
        figures=figures,
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _with_grpc(part: Part, serving: bool) -> Part:
    if serving or part.status != "ok":
        return part
    return part.model_copy(update={"status": "not_ready", "detail": "its gRPC health is not SERVING"})
