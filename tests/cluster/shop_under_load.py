"""Tillstream in the cluster while customers ask and purchases arrive: what a disturbance costs is measured here."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cluster.kubectl import Kubectl, wait
from local.cluster.load import Outcome
from local.cluster.shop import IN_NAMESPACE, NAMESPACE, Shop
from local.http import get_json
from local.layout import REPOSITORY
from local.process import Process, Program, spawn, stop_together
from tests.cluster.figures_watch import FiguresWatch

EVENTS_PER_SECOND = 50.0
FRESH_WITHIN_S = 30.0
READY_WITHIN_S = 240.0
_CALM_S = 4.0
_LATE_S = 2.0
_SENT = 0.95
_USERS = 100  # the gateway lists no more at once

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a disturbance cost. `ready_s`: until all pods were ready; `stale_s`: until figures stayed fresh.

    `longest_stale_s`: the longest time without fresh figures.
    """

    requests: int
    failures: dict[str, int]
    fallbacks: int
    retried: int
    slowest_ms: float
    ready_s: float
    stale_s: float
    longest_stale_s: float
    stale_because: str

    def row(self, name: str) -> dict[str, str | int | float | None]:
        """A row of the report."""
        return {
            "disturbance": name,
            "requests": self.requests,
            "failed": sum(self.failures.values()),
            "popular": self.fallbacks,
            "sent twice": self.retried,
            "slowest ms": self.slowest_ms,
            "ready after s": round(self.ready_s, 1),
            "figures stale s": round(self.stale_s, 1),
            "stale because": self.stale_because or None,
        }


class ShopUnderLoad:
    """Recommendations asked from the node's network, 50 purchases a second, and a watch over the figures."""

    def __init__(self, shop: Shop, page: str, folder: Path, rate: float) -> None:
        self.shop = shop
        self.rate = rate
        self.kubectl: Kubectl = shop.cluster.kubectl
        self.page = page
        self._folder = folder
        self._log = folder / "load.jsonl"
        self.watch = FiguresWatch(page, EVENTS_PER_SECOND)
        self._process: Process | None = None

    @contextmanager
    def running(self) -> Iterator["ShopUnderLoad"]:
        """With load and watch."""
        self._process = self.start_load(self._log, self.rate)
        self.watch.start()
        try:
            yield self
        finally:
            self.watch.stop()
            stop_together([self._process])

    def start_load(self, log: Path, rate: float) -> Process:
        """Start a load generator; the caller stops it."""
        users = self._folder / "users.txt"
        found: list[str] = get_json(f"{self.page}/v1/users?limit={_USERS}")
        users.write_text("\n".join(found))
        url = "http://{}:{}".format(*self.shop.gateway_address())
        options = ["--users", str(users), "--log", str(log), "--rate", str(rate)]
        # Before all others: a load generator that waits for a core measures itself.
        command = ("chrt", "--rr", "1", sys.executable, "-m", "local.cluster.load", url, *options)
        argv = self.shop.cluster.node.entering(*command)
        return spawn(Program("load", argv, self._folder / "load.log", REPOSITORY), die_with_parent=True)

    def calm(self) -> None:
        """Wait until every pod is ready and the figures have been fresh for a while."""
        wait("every pod is ready", self.all_ready, READY_WITHIN_S)
        wait("the figures are fresh", lambda: self.watch.settled(_CALM_S), FRESH_WITHIN_S * 3)
        wait("the load keeps its rate", lambda: self._answered_until() > time.time() - _LATE_S, READY_WITHIN_S)

    def disturb(self, action: Callable[[], object]) -> Cost:
        """Do it, wait until all is calm again, and say what it cost."""
        self.calm()
        began = time.time()
        action()
        wait("every pod is ready again", self.all_ready, READY_WITHIN_S)
        ready_s = time.time() - began
        wait("the figures are fresh again", lambda: self.watch.settled(_CALM_S), FRESH_WITHIN_S * 3)
        assert self._process is not None
        self._process.require_alive()
        ended = time.time()
        wait("the load keeps its rate", lambda: self._answered_until() > ended, READY_WITHIN_S)
        return self._cost(began, ended, ready_s)

    def _answered_until(self) -> float:
        """When the newest answered request was due (epoch seconds)."""
        return max((outcome.at for outcome in Outcome.read(self._log)), default=0.0)

    def _cost(self, began: float, ended: float, ready_s: float) -> Cost:
        outcomes = [outcome for outcome in Outcome.read(self._log) if began - 1 <= outcome.at <= ended]
        assert len(outcomes) >= _SENT * self.rate * (ended - began), "too few requests were sent to say anything"
        return Cost(
            requests=len(outcomes),
            failures=Counter(outcome.failure for outcome in outcomes if outcome.failure),
            fallbacks=sum("popular" in outcome.strategy for outcome in outcomes),
            retried=sum(outcome.retried for outcome in outcomes),
            slowest_ms=max((outcome.took_ms for outcome in outcomes), default=0.0),
            ready_s=ready_s,
            stale_s=self.watch.fresh_after(began),
            longest_stale_s=self.watch.longest_stale_since(began),
            stale_because=", ".join(self.watch.problems_since(began)),
        )

    def pods_of(self, service: str) -> list[str]:
        """Names of a service's pods that are not ending."""
        selector = f"--selector=app.kubernetes.io/name={service}"
        pods = self.kubectl.items("pods", IN_NAMESPACE, selector)
        return sorted(pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"])

    def nodes_in_use(self) -> set[str]:
        """Names of the nodes that pods run on."""
        return {
            pod["spec"]["nodeName"] for pod in self.kubectl.items("pods", IN_NAMESPACE) if "nodeName" in pod["spec"]
        }

    def services(self) -> set[str]:
        """Names of all workloads that run for ever."""
        return {each["metadata"]["name"] for each in self._workloads()}

    def ready_pods(self, deployment: str) -> int:
        """How many pods of a Deployment are ready."""
        return int(self.kubectl.get("deployment", deployment, IN_NAMESPACE)["status"].get("readyReplicas", 0))

    def restarts(self) -> int:
        """Restarts of all containers so far."""
        pods = self.kubectl.items("pods", IN_NAMESPACE)
        return sum(each["restartCount"] for pod in pods for each in pod["status"].get("containerStatuses", []))

    def evict(self, pod: str) -> "subprocess.CompletedProcess[str]":
        """Ask for the eviction of a pod, as a drain does."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
        return self.kubectl.run("create", "--raw", path, "-f", "-", text=json.dumps(eviction))

    def _workloads(self) -> list[Json]:
        return self.kubectl.items("deployments,statefulsets", IN_NAMESPACE)

    def all_ready(self) -> bool:
        """Whether every workload has all its pods, ready and of its newest revision."""
        return all(map(is_complete, self._workloads()))


def is_complete(workload: Json) -> bool:
    """Whether a Deployment or StatefulSet has all its pods, ready and of its newest revision."""
    wanted, status = workload["spec"]["replicas"], workload["status"]
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return False
    counts = [status.get(name, 0) for name in ("replicas", "readyReplicas", "updatedReplicas")]
    return counts == [wanted] * 3
