"""Settings of the one-machine stack: ports, retention, and addresses of engines that the user runs."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.layout import STATE
from local.ports import LOOPBACK, free_ports
from services.common.settings import ArchiveSettings, Port, RedisSettings
from services.provision.settings import TopicSettings


class StackSettings(TopicSettings, RedisSettings, ArchiveSettings, BaseSettings):
    """Every field is set by `TILLSTREAM_<FIELD>`.

    The address of an engine replaces the engine that the stack would start: `kafka_bootstrap`, `redis_url`,
    `s3_endpoint` (with its keys).
    """

    model_config = SettingsConfigDict(env_prefix="TILLSTREAM_", frozen=True)

    kafka_port: Port = 9092
    redis_port: Port = 6379
    s3_port: Port = 8333
    s3_metrics_port: Port = 9327
    gateway_port: Port = 8080
    recommender_port: Port = 50051
    producer_metrics_port: Port = 9101
    archiver_metrics_port: Port = 9102
    aggregator_metrics_port: Port = 9103
    recommender_metrics_port: Port = 9104
    prometheus_port: Port = 9090
    alertmanager_port: Port = 9093

    # Start Prometheus and Alertmanager where they are found. An address of your own Prometheus replaces both.
    monitoring: bool = True
    prometheus_url: str = ""
    scrape_seconds: int = Field(default=5, ge=1)

    aggregator_snapshot_seconds: float = 15  # loading a file takes minutes, and reconciliation needs a snapshot

    state_dir: Path = STATE
    redis_max_memory: str = "4gb"
    # One machine's disk is limited.
    kafka_retention_bytes: int | None = Field(default=8 * 1024**3, ge=16 * 1024**2)

    kafka_bootstrap: str = ""
    redis_url: str = ""
    s3_endpoint: str = ""
    s3_bucket: str = "tillstream"
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        seen: dict[int, str] = {}
        for name, port in self.ports().items():
            if port in seen:
                raise ValueError(f"{name} and {seen[port]} are both {port}")
            seen[port] = name
        return self

    def ports(self) -> dict[str, int]:
        """The fixed ports by the setting that changes each."""
        return {
            f"TILLSTREAM_{name.upper()}": getattr(self, name)
            for name in type(self).model_fields
            if name.endswith("_port")
        }

    @property
    def page(self) -> str:
        """The address of the page and of the REST API."""
        return f"http://{LOOPBACK}:{self.gateway_port}"


def free_port_settings() -> dict[str, str]:
    """Environment variables with free ports, for a second stack on the machine."""
    names = StackSettings().ports()
    return dict(zip(names, map(str, free_ports(len(names))), strict=True))
