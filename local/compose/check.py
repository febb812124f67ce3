"""The test of compose.yaml: bring it up on free ports, post an event, see it counted, look at each container."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from local.compose.env_file import generated
from local.compose.project import Engine, Project, described
from local.compose.starts import seconds_to_healthy
from local.console import say
from local.http import NoAnswer, get_json, readiness
from local.ports import LOOPBACK, free_ports

_PORTS = ("KAFKA", "REDIS", "S3", "GATEWAY", "PROMETHEUS")
_SERVICES = ("aggregator", "archiver", "recommender", "gateway")
_PATIENCE_S = 180
_POLL_S = 0.2
_EVENT = {
    "event_time": "2026-01-31T12:00:00Z",
    "order_id": "A-1",
    "product_id": "4711",
    "user_id": "42",
    "price": "19.99",
}


class CheckFailed(Exception):
    """Something is not as it must be; the message says what."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where gateway and Prometheus listen."""

    gateway: str
    prometheus: str


def check(engine: Engine) -> None:
    """Run the test. Raises CheckFailed, ComposeFailed."""
    with running(engine) as (project, addresses):
        _wait("the gateway is ready", lambda: _ready(addresses.gateway), project)
        _wait("the gateway accepts an event", lambda: _accepted(f"{addresses.gateway}/v1/events", _EVENT), project)
        _wait("the event is counted", lambda: _counted(addresses.gateway), project)
        _wait("Prometheus scrapes every service", lambda: scraped(addresses.prometheus) >= set(_SERVICES), project)
        for name, container in sorted(project.containers().items()):
            require_no_rights(name, container)
        say("every container: read-only root, user 65532, no capability, no new privileges")
        for name in _SERVICES:
            seconds = seconds_to_healthy(project, name, described()[name]["healthcheck"]["test"])
            say(f"{name} is healthy {seconds:.1f} s after its start")


@contextmanager
def running(engine: Engine) -> Iterator[tuple[Project, Addresses]]:
    """A project with ports, keys and volumes of its own; all of it is deleted at the end."""
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    environment = generated() | {f"TILLSTREAM_{name}_PORT": str(port) for name, port in ports.items()}
    project = Project(engine, "tillstream-test", environment)
    try:
        say(f"starting compose.yaml with {engine.name}")
        project.up([*_SERVICES, "prometheus"])
        yield project, Addresses(*(f"http://{LOOPBACK}:{ports[name]}" for name in ("GATEWAY", "PROMETHEUS")))
    finally:
        project.down(with_data=True)


def _wait(what: str, holds: Callable[[], bool], project: Project) -> None:
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > _PATIENCE_S:
            logs = [f"--- {name}\n{project.logs(one['Id'])[-2000:]}" for name, one in project.containers().items()]
            raise CheckFailed(f"not within {_PATIENCE_S} s: {what}\n" + "\n".join(logs))
        time.sleep(_POLL_S)
    say(f"{what}: after {time.monotonic() - started:.1f} s")


def _ready(gateway: str) -> bool:
    return readiness(gateway).ready


def _counted(gateway: str) -> bool:
    summary = _figures(f"{gateway}/v1/stats/summary")
    return (summary.get("events"), summary.get("revenue")) == (1, _EVENT["price"])


def scraped(prometheus: str) -> set[str]:
    """The services whose metrics Prometheus has."""
    found = _figures(f"{prometheus}/api/v1/targets").get("data", {}).get("activeTargets", [])
    return {target["labels"]["service"] for target in found if target["health"] == "up"}


def require_no_rights(name: str, container: dict[str, Any]) -> None:
    """Raise CheckFailed where the engine has given a container more than compose.yaml says."""
    host, config = container["HostConfig"], container["Config"]
    dropped = {capability.removeprefix("CAP_") for capability in host["CapDrop"] or []}
    wrong = {
        "its root is writable": not host["ReadonlyRootfs"],
        "it is privileged": host["Privileged"],
        "it runs as root": config["User"].split(":")[0] in ("", "0", "root"),
        "it keeps capabilities": "ALL" not in dropped and bool(container.get("EffectiveCaps", ["?"])),
        "it may gain privileges": not any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]),
    }
    if found := [what for what, holds in wrong.items() if holds]:
        raise CheckFailed(f"container {name}: {', '.join(found)}")


def _figures(url: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = get_json(url)
    except NoAnswer:
        return {}
    return answer


def _accepted(url: str, event: dict[str, str]) -> bool:
    """Send an event. False where the gateway cannot yet: sent again, it still counts once. Raises CheckFailed."""
    body = json.dumps(event).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bool(answer.status == HTTPStatus.ACCEPTED)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
            return False
        raise CheckFailed(f"the event was answered with {error.code}: {error.read().decode()}") from None
    except OSError:
        return False
