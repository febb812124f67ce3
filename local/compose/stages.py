"""The services of compose.yaml in the order of what they need, for Podman.

podman-compose names what a container needs to Podman (`--requires`), which then wants all of it to be running: also
containers that end when their work is done. So each stage is started without its needs, once those are met.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

_COMPLETED = "service_completed_successfully"

Services = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """Services that may start together; `once` must have succeeded before the next stage."""

    services: tuple[str, ...]
    once: tuple[str, ...]


def stages(services: Services, asked: Sequence[str]) -> Iterator[Stage]:
    """Stages of the services asked for, and of what they need; of all without a profile where none is asked for."""
    wanted = asked or [name for name, service in services.items() if not service.get("profiles")]
    needs = _with_needs(services, wanted)
    awaited = {need for name in needs for need, how in _conditions(services[name]).items() if how == _COMPLETED}
    order = TopologicalSorter(needs)
    order.prepare()
    while order.is_active():
        ready = sorted(order.get_ready())
        yield Stage(tuple(ready), tuple(name for name in ready if name in awaited))
        order.done(*ready)


def _with_needs(services: Services, names: Sequence[str]) -> dict[str, set[str]]:
    """Each service, and each one that it needs directly or not → what it needs directly."""
    found: dict[str, set[str]] = {}
    open_names = list(names)
    while open_names:
        name = open_names.pop()
        if name not in found:
            found[name] = set(_conditions(services[name]))
            open_names += found[name]
    return found


def _conditions(service: Mapping[str, Any]) -> dict[str, str]:
    """What a service needs → the condition. `depends_on` may be a list: then of services that have started."""
    needs = service.get("depends_on", {})
    return {name: needs[name]["condition"] if isinstance(needs, dict) else "service_started" for name in needs}
