"""Samples taken every few seconds: memory, CPU and disk of each process, Redis, lag, freshness, stalls."""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from bench.machine import cpu_seconds
from bench.stacks import pids
from local.stack import Stack
from services.common import eventloop_lag

STALL_BOUND_S = "0.25"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_BLOCK_BYTES = 512
_TIMEOUT = aiohttp.ClientTimeout(total=4)


@dataclass(frozen=True, slots=True)
class Stalls:
    """Of one service: stalls over the bound since its start, and the longest in the last minute, in seconds."""

    over_bound: int
    longest_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample. Bytes, seconds; by service, process or folder. None: no answer in time."""

    at: float
    rss: dict[str, int]
    cpu_s: dict[str, float]
    disk: dict[str, int]
    redis_bytes: int
    summary: dict[str, Any] | None
    stalls: dict[str, Stalls]
    dropped: dict[str, int]
    knowledge_age_s: float | None  # how old what the recommender knows of the stream is

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Sampler:
    """Takes samples of a running stack and of other processes."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, redis: Redis, others: Mapping[str, int]) -> None:
        self._stack = stack
        self._session = session
        self._redis = redis
        self._others = others
        layout = stack.layout
        self._folders = {
            "kafka": layout.engine("kafka"),
            "redis": layout.engine("redis"),
            "s3": layout.engine("s3"),
            "logs": layout.logs,
            "data": layout.data,
        }

    async def take(self) -> Sample:
        """A sample of now."""
        processes = {**pids(self._stack), **self._others}
        metrics = {service.name: await self._metrics(service.health) for service in self._stack.services}
        memory = await self._redis.info("memory")
        return Sample(
            at=time.time(),
            rss={name: rss for name, pid in processes.items() if (rss := rss_bytes(pid)) is not None},
            cpu_s={name: used for name, pid in processes.items() if (used := cpu_seconds(pid)) is not None},
            disk={name: disk_bytes(folder) for name, folder in self._folders.items()},
            redis_bytes=int(memory["used_memory"]),
            summary=await self._summary(),
            stalls={name: found for name, text in metrics.items() if (found := stalls(text)) is not None},
            dropped=dropped(metrics.get("gateway", "")),
            knowledge_age_s=knowledge_age_s(metrics.get("recommender", "")),
        )

    async def _metrics(self, address: str) -> str:
        try:
            async with self._session.get(f"{address}/metrics", timeout=_TIMEOUT) as answer:
                return await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return ""

    async def _summary(self) -> dict[str, Any] | None:
        try:
            async with self._session.get(f"{self._stack.settings.page}/v1/stats/summary", timeout=_TIMEOUT) as answer:
                answer.raise_for_status()
                body: dict[str, Any] = await answer.json()
                return body
        except (aiohttp.ClientError, TimeoutError):
            return None


def rss_bytes(pid: int) -> int | None:
    """Resident memory of a process; None where it has ended. Linux only."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return None


def disk_bytes(folder: Path) -> int:
    """What the files below a folder take on disk. A file that goes meanwhile counts nothing."""
    taken = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            try:
                taken += Path(parent, name).lstat().st_blocks * _BLOCK_BYTES
            except FileNotFoundError:
                continue
    return taken


def stalls(metrics: str) -> Stalls | None:
    """The stalls in a service's /metrics; None if it has none."""
    values = _values(metrics, "tillstream_loop")
    count = values.get(("tillstream_loop_stall_seconds_count", ""))
    if count is None:
        return None
    within = values.get(("tillstream_loop_stall_seconds_bucket", STALL_BOUND_S), 0.0)
    return Stalls(int(count - within), values.get(("tillstream_loop_longest_stall_seconds", ""), 0.0))


def logged_stalls(logs: Path) -> list[str]:
    """Long stalls in the services' logs, oldest first: time, service, duration, and how much of it was CPU time."""
    return sorted(line for log in logs.glob("*.log") for line in _stalls_of(log))


def _stalls_of(log: Path) -> Iterator[str]:
    for line in log.read_text(errors="replace").splitlines():
        if eventloop_lag.__name__ in line:
            entry = json.loads(line)
            yield f"{entry['time']} {entry['service']}: {entry['message']}"


def dropped(metrics: str) -> dict[str, int]:
    """Stream clients that the gateway disconnected, by reason."""
    values = _values(metrics, "tillstream_gateway_stream_dropped")
    return {label: int(value) for (name, label), value in values.items() if name.endswith("_total")}


def knowledge_age_s(metrics: str) -> float | None:
    """The oldest of all models that the recommender follows for; None before it was in contact with Kafka."""
    ages = _values(metrics, "tillstream_recommender_stream_age_seconds").values()
    return max((age for age in ages if not math.isnan(age)), default=None)


def _values(metrics: str, prefix: str) -> dict[tuple[str, str], float]:
    """Samples by name and value of their one label."""
    lines = [line for line in metrics.splitlines() if line.startswith(prefix) or f" {prefix}" in line]
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families("\n".join(lines) + "\n")
        for sample in family.samples
    }
