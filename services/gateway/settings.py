"""The gateway's settings."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from services.common.settings import (
    EventSettings,
    HttpUrl,
    KafkaSettings,
    Port,
    RecommenderSocketSettings,
    RedisSettings,
    S3Settings,
    ServiceSettings,
    ShopSettings,
    is_loopback,
)
from services.common.tls import BadTlsFiles, TlsFiles, client_context, server_context
from services.gateway.api.hosts import ANY, host_name
from services.gateway.hooks.delivery import Sale
from services.gateway.login.settings import LoginSettings


def _names(text: object) -> object:
    return tuple(name.strip().lower() for name in text.split(",") if name.strip()) if isinstance(text, str) else text


_HOST = re.compile(r"(https?://)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")


def _origins(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if _HOST.fullmatch(host) is None:
            raise ValueError(f"{host!r} is not a host such as images.example.com, or http://127.0.0.1:8000")
    return tuple(host if "://" in host else f"https://{host}" for host in hosts)


# Separated by commas in the environment.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names), Field(min_length=1)]


Link = Annotated[HttpUrl | None, BeforeValidator(lambda given: given or None)]
FilePath = Annotated[Path | None, BeforeValidator(lambda given: given or None)]


class GatewaySettings(
    ServiceSettings,
    KafkaSettings,
    RedisSettings,
    S3Settings,
    ShopSettings,
    EventSettings,
    RecommenderSocketSettings,
    LoginSettings,
):
    """Where the gateway listens, its upstreams, and its limits."""

    gateway_port: Port = 8080
    # Allowed names in the `Host` header; `*` allows all.
    gateway_hosts: Names = ("localhost", "127.0.0.1", "[::1]")
    # A key of the role admin. Without it, API keys and a login, admin routes respond with 403.
    admin_token: SecretStr | None = None
    # File with the hashes of the API keys. With it, every route but /healthz, /readyz and /metrics asks for a key.
    api_keys_file: Path | None = None
    # Allows an address other than loopback without API keys and login: something in front decides who reaches the port.
    gateway_open: bool = False
    web_dist: Path = Path("web/dist")
    # Hosts whose images of products the page may load, separated by commas; over https unless `http://` is written.
    image_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names), AfterValidator(_origins)] = ()
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    # Addresses or networks of proxies, separated by commas: only their X-Forwarded-For and X-Forwarded-Proto count.
    gateway_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()

    # Requests that a key, or an address without one, may make in a minute; without it there is no limit. With several
    # replicas, `rates_shared` lets them sum their counts in Redis once a second.
    requests_per_minute: Annotated[int | None, BeforeValidator(lambda given: None if given == "" else given)] = Field(
        default=None, ge=1
    )
    rates_shared: bool = False
    # Open connections. Where there are more, the address with the most loses its newest.
    max_connections: int = Field(default=4_000, ge=16)
    # The request line and all fields of a request's head.
    max_head_bytes: int = Field(default=32 * 1024, ge=1024)
    max_head_fields: int = Field(default=100, ge=10)
    # A request's head must be complete after so long. So must its body after `transfer_seconds`; a client that takes
    # nothing of a response for that time loses its connection.
    head_seconds: float = Field(default=10.0, gt=0)
    transfer_seconds: float = Field(default=30.0, gt=0)

    # PEM files of the certificate and the key: with them the port speaks HTTPS. Renewed ones count from the next
    # connection on.
    gateway_cert_file: FilePath = None
    gateway_key_file: FilePath = None

    recommender_address: str = "127.0.0.1:50051"
    # PEM files for TLS to the recommender: who signs its certificate, and the gateway's own for mutual TLS.
    recommender_ca_file: FilePath = None
    recommender_cert_file: FilePath = None
    recommender_key_file: FilePath = None
    # What the recommender asks for as a bearer token; of several, separated by white space, the first is sent.
    recommender_token: SecretStr | None = Field(default=None, min_length=16)
    recommender_deadline_ms: int = Field(default=250, ge=1)
    recommender_batch_deadline_ms: int = Field(default=2_000, ge=1)
    # Requests for recommendations in flight, where more come for longer than a burst: the others get 503 at once.
    recommendations_in_flight: int = Field(default=16, ge=1)

    refresh_seconds: float = Field(default=1.0, gt=0)
    ticker_seconds: float = Field(default=0.05, gt=0)
    # Arrivals sent per ticker poll, newest first. More than that nobody can read, so the others are skipped.
    ticker_lines: int = Field(default=10, ge=1, le=200)
    stream_clients: int = Field(default=2_000, ge=1)
    # Queued messages after which a slow client is dropped.
    stream_queue: int = Field(default=64, ge=2)
    # A client that takes no message for so long is dropped.
    stream_patience_seconds: float = Field(default=15.0, gt=0)

    produce_timeout_seconds: float = Field(default=10.0, gt=0)
    # Interval of the canaries: records that measure the way of a purchase and count nowhere. 0 sends none. Set it once
    # every service has a version that knows them: an older aggregator rejects them as dead letters.
    canary_seconds: float = Field(default=0.0, ge=0)

    # Secrets that sign webhooks, separated by white space; a file has one a line and is read again when it changes.
    # Without any, the hooks of that shop system respond with 403.
    shopify_secrets: SecretStr | None = None
    shopify_secrets_file: Path | None = None
    woocommerce_secrets: SecretStr | None = None
    woocommerce_secrets_file: Path | None = None
    # From when on the lines of an order that comes by a webhook count.
    hook_sale: Sale = Sale.PAID
    # A delivery about a change before that is refused: the shop systems repeat theirs for hours only.
    hook_max_age_hours: float = Field(default=72.0, gt=0)

    probe_seconds: float = Field(default=2.0, gt=0)
    # Interval of reading the batch job's newest reconciliation.
    reconciliation_seconds: float = Field(default=10.0, gt=0)
    producer_telemetry: str = "http://127.0.0.1:9101"
    archiver_telemetry: str = "http://127.0.0.1:9102"
    aggregator_telemetry: str = "http://127.0.0.1:9103"
    recommender_telemetry: str = "http://127.0.0.1:9104"

    # A Prometheus with the rules of monitoring/rules: the page shows its alerts. Without it none are shown.
    prometheus_url: Link = None
    # Where a browser finds the pages of these; the page links to those that are set.
    prometheus_link: Link = None
    alertmanager_link: Link = None
    grafana_link: Link = None
    # What to do about each alert, by sections.
    alert_runbook: Path = Path("docs/runbooks/alerts.md")

    @model_validator(mode="after")
    def _closed_beyond_loopback(self) -> Self:
        is_closed = self.api_keys_file is not None or self.oidc_issuer is not None
        if not is_closed and not self.gateway_open and not is_loopback(self.host):
            raise ValueError(
                f"TILLSTREAM_HOST={self.host} would show every figure and customer to whoever reaches it: set "
                "TILLSTREAM_API_KEYS_FILE, TILLSTREAM_OIDC_ISSUER, or TILLSTREAM_GATEWAY_OPEN=true where something in "
                "front decides who may"
            )
        return self

    @model_validator(mode="after")
    def _page_is_answered(self) -> Self:
        host = host_name((self.page_url or "").partition("://")[2].partition("/")[0])
        if self.oidc_issuer is not None and host not in self.gateway_hosts and ANY not in self.gateway_hosts:
            raise ValueError(f"TILLSTREAM_GATEWAY_HOSTS must have {host}, the host of TILLSTREAM_PAGE_URL")
        return self

    @property
    def gateway_files(self) -> TlsFiles:
        """What the port is served with; none for plain HTTP."""
        return TlsFiles(None, self.gateway_cert_file, self.gateway_key_file)

    @property
    def recommender_files(self) -> TlsFiles:
        """How the recommender is reached by TLS; none for plaintext."""
        return TlsFiles(self.recommender_ca_file, self.recommender_cert_file, self.recommender_key_file)

    @model_validator(mode="after")
    def _tls_can_be_used(self) -> Self:
        for name, files, load in (
            ("GATEWAY", self.gateway_files, server_context),
            ("RECOMMENDER", self.recommender_files, client_context),
        ):
            try:
                if files:
                    load(files)
            except BadTlsFiles as error:
                raise ValueError(f"TILLSTREAM_{name}_*_FILE: {error}") from None
        if self.recommender_files and self.recommender_ca_file is None:
            raise ValueError("TILLSTREAM_RECOMMENDER_CERT_FILE needs TILLSTREAM_RECOMMENDER_CA_FILE")
        host = self.recommender_address.rpartition("/")[2].rpartition(":")[0]
        if self.recommender_token is not None and not self.recommender_files and not is_loopback(host):
            raise ValueError("TILLSTREAM_RECOMMENDER_TOKEN needs TLS: set TILLSTREAM_RECOMMENDER_CA_FILE")
        return self
