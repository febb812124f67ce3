"""The services of the stack: program, ports and environment of each."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.layout import REPOSITORY, Layout
from local.ports import LOOPBACK
from local.process import Program
from local.settings import StackSettings

SERVICES = ("aggregator", "archiver", "recommender", "gateway")


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `health` is the address of its /readyz; `ports` go by the setting that changes each."""

    name: str
    program: Program
    health: str
    ports: Mapping[str, int]

    @property
    def address(self) -> str:
        """Where it listens, for people."""
        return ", ".join(f"{LOOPBACK}:{port}" for port in self.ports.values())


def services(settings: StackSettings, layout: Layout, environment: Mapping[str, str]) -> list[Service]:
    """All services, in the order in which they start. `environment` says how to reach the engines."""
    return [_service(name, settings, layout, environment) for name in SERVICES]


def service_program(name: str, arguments: list[str], log: Path | None, environment: Mapping[str, str]) -> Program:
    """`python -m services.<name>`, run from the checkout."""
    argv = [sys.executable, "-m", f"services.{name}", *arguments]
    return Program(name, argv, log, REPOSITORY, environment)


def engine_environment(settings: StackSettings) -> dict[str, str]:
    """How every program reaches the engines. `settings` name their addresses."""
    secret = settings.s3_secret_key
    values = {
        "KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "REDIS_URL": settings.redis_url,
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_BUCKET": settings.s3_bucket,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": secret.get_secret_value() if secret else None,
    }
    return {f"TILLSTREAM_{name}": value for name, value in values.items() if value}


def _service(name: str, settings: StackSettings, layout: Layout, environment: Mapping[str, str]) -> Service:
    ports = _ports(name, settings)
    health = settings.gateway_port if name == "gateway" else getattr(settings, f"{name}_metrics_port")
    variables = {**environment, **_own_settings(name, settings, layout)}
    program = service_program(name, [], layout.log(name), variables)
    return Service(name, program, f"http://{LOOPBACK}:{health}", ports)


def _ports(name: str, settings: StackSettings) -> dict[str, int]:
    prefix = f"TILLSTREAM_{name.upper()}_"
    return {setting: port for setting, port in settings.ports().items() if setting.startswith(prefix)}


def _own_settings(name: str, settings: StackSettings, layout: Layout) -> dict[str, str]:
    socket = layout.recommender_socket
    door = {"TILLSTREAM_RECOMMENDER_SOCKET": str(socket)} if socket is not None else {}
    if name == "gateway":
        return {
            **door,
            "TILLSTREAM_GATEWAY_PORT": str(settings.gateway_port),
            "TILLSTREAM_WEB_DIST": str(REPOSITORY / "web" / "dist"),
            "TILLSTREAM_RECOMMENDER_ADDRESS": f"{LOOPBACK}:{settings.recommender_port}",
            **{
                f"TILLSTREAM_{service.upper()}_TELEMETRY": f"http://{LOOPBACK}:{port}"
                for service, port in _telemetry_ports(settings).items()
            },
        }
    own = {"TILLSTREAM_METRICS_PORT": str(_telemetry_ports(settings)[name])}
    if name == "recommender":
        own |= {**door, "TILLSTREAM_RECOMMENDER_PORT": str(settings.recommender_port)}
    if name == "aggregator":
        own["TILLSTREAM_AGGREGATOR_METRICS_PORT"] = str(settings.aggregator_metrics_port)
        # Its port allows one instance at a time. A static member gets its partitions back at once after a crash.
        own["TILLSTREAM_AGGREGATOR_INSTANCE"] = "local"
        own["TILLSTREAM_AGGREGATOR_SNAPSHOT_SECONDS"] = str(settings.aggregator_snapshot_seconds)
    return own


def _telemetry_ports(settings: StackSettings) -> dict[str, int]:
    return {
        "producer": settings.producer_metrics_port,
        "archiver": settings.archiver_metrics_port,
        "aggregator": settings.aggregator_metrics_port,
        "recommender": settings.recommender_metrics_port,
    }
