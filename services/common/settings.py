"""Settings: one typed class a service, composed of these parts. Nothing else reads the environment.

Every field is set by `TILLSTREAM_<FIELD>`, e.g. `TILLSTREAM_KAFKA_BOOTSTRAP=broker:9092`.
"""

import re
from decimal import Decimal
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.event_rules import EventRules
from services.common.line_totals import DEFAULT_MAX_LINE_CENTS
from services.common.spellings import NO_CUSTOMER, placeholders
from services.common.tls import BadTlsFiles, TlsFiles, client_context

_PREFIX = "TILLSTREAM_"

SOCKET_PATH_BYTES = 100  # the kernel takes 107

Port = Annotated[int, Field(ge=1, le=65535)]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Berlin") from None
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]


def _like(pattern: str, example: str) -> AfterValidator:
    """Requires an address that a client can use: a wrong one is one line at start, and no client's traceback later."""
    wanted = re.compile(pattern)

    def check(address: str) -> str:
        if wanted.match(address) is None:
            raise ValueError(f"is not an address such as {example}")  # not its value: it may hold a password
        return address

    return AfterValidator(check)


RedisUrl = Annotated[str, _like(r"(rediss?://[^/\s]+|unix://)\S*$", "redis://127.0.0.1:6379/0")]
HttpUrl = Annotated[str, _like(r"https?://[^/\s]+\S*$", "http://127.0.0.1:8333")]
Brokers = Annotated[str, _like(r"[^\s,/]+:\d+(,[^\s,/]+:\d+)*$", "broker-1:9092,broker-2:9092")]
_empty_is_none = BeforeValidator(lambda given: given or None)


def _also(name: str, old_name: str) -> AliasChoices:
    """A setting's variable, and the one that it had before; where both are set the first decides."""
    return AliasChoices(_PREFIX + name, _PREFIX + old_name)


class Settings(BaseSettings):
    """The base of every part below: where several are composed, the last one's configuration wins."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True)


class ServiceSettings(Settings):
    """Settings of every service. All sockets bind to loopback by default."""

    host: str = "127.0.0.1"
    # After a signal to stop, a service that answers requests says that it is not ready and serves for so long before it
    # takes no more. A cluster needs some seconds to send requests elsewhere.
    drain_seconds: float = Field(default=0.0, ge=0, le=300)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    # Where traces go: an OTLP collector's base URL for HTTP, such as http://127.0.0.1:4318. Without it there are none.
    traces_endpoint: Annotated[HttpUrl | None, _empty_is_none] = None
    # Share of the requests and of the producer's rows that are traced. Runs of the batch job always are.
    traces_ratio: float = Field(default=0.01, ge=0, le=1)


class BuildSettings(Settings):
    """What an image says of itself; empty in a checkout."""

    commit: str = Field(default="", description="the commit that the image was built from")


KafkaSecurity = Literal["plaintext", "tls", "sasl_plaintext", "sasl_tls", "msk_iam"]
SaslMechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"]


class KafkaSettings(Settings):
    """Brokers, how they are reached (plaintext on one machine, IAM over TLS on MSK) and topics."""

    kafka_bootstrap: Brokers = "127.0.0.1:9092"
    kafka_security: KafkaSecurity = "plaintext"
    # For sasl_plaintext and sasl_tls. OAUTHBEARER sends the token of a file, read anew for each connection, so that
    # whatever renews the file needs no restart; the others a user and a password.
    kafka_sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    kafka_user: str | None = None
    kafka_password: SecretStr | None = None
    kafka_token_file: Path | None = None
    # PEM files for TLS: who signs the brokers' certificates (default: the system's authorities), and the client's own
    # certificate and key where the brokers ask for one. Renewed files count from the next connection on.
    kafka_ca_file: Annotated[Path | None, _empty_is_none] = None
    kafka_cert_file: Annotated[Path | None, _empty_is_none] = None
    kafka_key_file: Annotated[Path | None, _empty_is_none] = None
    # How soon every client notices new partitions, in seconds. Kafka's own default is five minutes.
    kafka_metadata_seconds: float = Field(default=20.0, gt=0, le=300)
    aws_region: str = "eu-central-1"
    purchases_topic: str = "purchases"
    dead_letters_topic: str = "purchases.dlq"
    recommendations_topic: str = "recommendations"
    products_topic: str = "products"

    @property
    def kafka_tls_files(self) -> TlsFiles:
        """The PEM files together."""
        return TlsFiles(self.kafka_ca_file, self.kafka_cert_file, self.kafka_key_file)

    @property
    def kafka_tls(self) -> bool:
        """Whether the brokers are reached by TLS."""
        return self.kafka_security in ("tls", "sasl_tls", "msk_iam")

    @model_validator(mode="after")
    def _kafka_can_be_reached(self) -> Self:
        _require_usable("TILLSTREAM_KAFKA_", self.kafka_tls_files, self.kafka_tls, "KAFKA_SECURITY of TLS")
        if self.kafka_security not in ("sasl_plaintext", "sasl_tls"):
            return self
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            if self.kafka_token_file is None:
                raise ValueError("OAUTHBEARER needs TILLSTREAM_KAFKA_TOKEN_FILE")
        elif not self.kafka_user or self.kafka_password is None:
            raise ValueError(f"{self.kafka_sasl_mechanism} needs TILLSTREAM_KAFKA_USER and TILLSTREAM_KAFKA_PASSWORD")
        if self.kafka_security == "sasl_plaintext" and self.kafka_sasl_mechanism in ("PLAIN", "OAUTHBEARER"):
            _require_loopback(self.kafka_bootstrap, self.kafka_sasl_mechanism)
        return self


def _require_usable(prefix: str, files: TlsFiles, tls: bool, needed: str) -> None:
    """Raises ValueError for files that cannot be loaded, and for files that would not be used."""
    if files and not tls:
        raise ValueError(f"{prefix}CA_FILE, {prefix}CERT_FILE and {prefix}KEY_FILE need a {needed}")
    if files:
        try:
            client_context(files)
        except BadTlsFiles as error:
            raise ValueError(f"{prefix}*_FILE: {error}") from None


def _require_loopback(brokers: str, mechanism: str) -> None:
    hosts = {broker.rpartition(":")[0].strip("[]") for broker in brokers.split(",")}
    if not all(is_loopback(host) for host in hosts):
        raise ValueError(
            f"{mechanism} without TLS shows the secret to everybody between here and the brokers: set "
            "TILLSTREAM_KAFKA_SECURITY=sasl_tls"
        )


def is_loopback(host: str) -> bool:
    """Whether the name or address stands for this machine alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class RedisSettings(Settings):
    """The Redis of the live tables, and their number of shards.

    `redis_url` names an ACL user and its password as `rediss://user:password@host:6379/0`; rediss means TLS.
    """

    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    redis_cluster: bool = False
    # PEM files for TLS, as those of Kafka.
    redis_ca_file: Annotated[Path | None, _empty_is_none] = None
    redis_cert_file: Annotated[Path | None, _empty_is_none] = None
    redis_key_file: Annotated[Path | None, _empty_is_none] = None
    shards: int = Field(default=1, ge=1, le=1024)

    @property
    def redis_tls_files(self) -> TlsFiles:
        """The PEM files together."""
        return TlsFiles(self.redis_ca_file, self.redis_cert_file, self.redis_key_file)

    @model_validator(mode="after")
    def _redis_can_be_reached(self) -> Self:
        tls = self.redis_url.startswith("rediss://")
        _require_usable("TILLSTREAM_REDIS_", self.redis_tls_files, tls, "REDIS_URL that begins with rediss://")
        return self


class S3Settings(Settings):
    """The bucket of archive and models. Without keys the AWS default credential chain applies."""

    s3_endpoint: Annotated[HttpUrl | None, _empty_is_none] = None
    s3_bucket: str = "tillstream"
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None
    # PEM file of the authorities that sign the store's certificate. Default: those that boto3 brings.
    s3_ca_file: Annotated[Path | None, _empty_is_none] = None
    aws_region: str = "eu-central-1"

    @model_validator(mode="after")
    def _s3_can_be_reached(self) -> Self:
        tls = not (self.s3_endpoint or "https://").startswith("http://")
        _require_usable("TILLSTREAM_S3_", TlsFiles(self.s3_ca_file), tls, "S3_ENDPOINT that begins with https://")
        return self


def _short_path(path: Path | None) -> Path | None:
    if path is not None and len(str(path).encode()) > SOCKET_PATH_BYTES:
        raise ValueError(f"a socket's path has at most {SOCKET_PATH_BYTES} bytes")
    return path


class RecommenderSocketSettings(Settings):
    """A Unix socket where the recommender also answers a gateway on the same host, with less work than by gRPC.

    Both need the same path. While nobody answers there, the gateway asks by gRPC.
    """

    recommender_socket: Annotated[Path | None, AfterValidator(_short_path), _empty_is_none] = None


class ArchiveSettings(Settings):
    """Consumer group of the archiver; committed offsets are archived."""

    archive_group: str = "tillstream-archiver"


class EventSettings(Settings):
    """How events are read, the same in every service and in the batch job: all of them count the same lines.

    `no_customer`: ids that stand for no customer, separated by commas. Case does not matter. `max_line_amount`: the
    largest total of a line, of either sign: a line beyond it is a dead letter. A change of either needs a rebuild.
    """

    no_customer: str = ",".join(NO_CUSTOMER)
    max_line_amount: Decimal = Field(
        default=Decimal(DEFAULT_MAX_LINE_CENTS) / 100, gt=0, le=1_000_000_000, decimal_places=2
    )

    @cached_property
    def event_rules(self) -> EventRules:
        """Both as the validation takes them."""
        return EventRules(placeholders(self.no_customer), int(self.max_line_amount * 100))


class DeadLetterLimits(Settings):
    """When a source has too many invalid records: so many consecutive ones, or this ratio of the newest `window`.

    That is an alarm; with `dead_letters_halt` the service also ends there, before it passes those records.
    """

    model_config = SettingsConfigDict(populate_by_name=True)

    dead_letters_max_consecutive: int = Field(
        default=100, ge=1, validation_alias=_also("DEAD_LETTERS_MAX_CONSECUTIVE", "DEAD_LETTERS_RUN")
    )
    dead_letters_max_ratio: float = Field(
        default=0.1, gt=0, le=1, validation_alias=_also("DEAD_LETTERS_MAX_RATIO", "DEAD_LETTERS_RATIO")
    )
    dead_letters_window: int = Field(default=10_000, ge=1, le=1_000_000)
    dead_letters_halt: bool = Field(default=False, validation_alias=_also("DEAD_LETTERS_HALT", "DEAD_LETTERS_STOP"))


class ShopSettings(Settings):
    """Time zone and currency of the shop. A change of `time_zone` needs a rebuild of the live tables."""

    time_zone: TimeZone = "UTC"
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")


def explain(error: ValidationError) -> str:
    """The errors in one line: it names the variables, and never their values."""
    return "; ".join(
        _complaint(problem["loc"], problem["msg"])
        for problem in error.errors(include_input=False, include_context=False, include_url=False)
    )


def _complaint(location: tuple[int | str, ...], message: str) -> str:
    said = " ".join(message.removeprefix("Value error, ").split())
    # A rule over several settings belongs to none of them and names them itself.
    if not location:
        return said
    name = str(location[0]).upper()
    return f"{_PREFIX}{name.removeprefix(_PREFIX)}: {said}"
