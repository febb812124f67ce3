"""The gateway's settings."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from services.common.settings import (
    EventSettings,
    KafkaSettings,
    Port,
    RedisSettings,
    S3Settings,
    ServiceSettings,
    ShopSettings,
)


def _names(text: object) -> object:
    return tuple(name.strip().lower() for name in text.split(",") if name.strip()) if isinstance(text, str) else text


# Separated by commas in the environment.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names), Field(min_length=1)]


class GatewaySettings(ServiceSettings, KafkaSettings, RedisSettings, S3Settings, ShopSettings, EventSettings):
    """Where the gateway listens, its upstreams, and its limits."""

    gateway_port: Port = 8080
    # Allowed names in the `Host` header; `*` allows all.
    gateway_hosts: Names = ("localhost", "127.0.0.1", "[::1]")
    # Without it, admin routes respond with 403.
    admin_token: SecretStr | None = None
    web_dist: Path = Path("web/dist")
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)

    recommender_address: str = "127.0.0.1:50051"
    recommender_deadline_ms: int = Field(default=250, ge=1)
    recommender_batch_deadline_ms: int = Field(default=2_000, ge=1)

    refresh_seconds: float = Field(default=1.0, gt=0)
    ticker_seconds: float = Field(default=0.1, gt=0)
    # Arrivals sent per ticker poll, newest first. More than that nobody can read, so the others are skipped.
    ticker_lines: int = Field(default=10, ge=1, le=200)
    stream_clients: int = Field(default=2_000, ge=1)
    # Queued messages after which a slow client is dropped.
    stream_queue: int = Field(default=64, ge=2)
    # A client that takes no message for so long is dropped.
    stream_patience_seconds: float = Field(default=15.0, gt=0)

    produce_timeout_seconds: float = Field(default=10.0, gt=0)

    probe_seconds: float = Field(default=2.0, gt=0)
    # Interval of reading the batch job's newest reconciliation.
    reconciliation_seconds: float = Field(default=10.0, gt=0)
    producer_telemetry: str = "http://127.0.0.1:9101"
    archiver_telemetry: str = "http://127.0.0.1:9102"
    aggregator_telemetry: str = "http://127.0.0.1:9103"
    recommender_telemetry: str = "http://127.0.0.1:9104"
