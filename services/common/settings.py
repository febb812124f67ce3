"""Settings: one typed class a service, composed of these parts. Nothing else reads the environment.

Every field is set by `TILLSTREAM_<FIELD>`, e.g. `TILLSTREAM_KAFKA_BOOTSTRAP=broker:9092`.
"""

import re
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.event_rules import EventRules
from services.common.line_totals import DEFAULT_MAX_LINE_CENTS
from services.common.spellings import NO_CUSTOMER, placeholders

_PREFIX = "TILLSTREAM_"

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


class KafkaSettings(Settings):
    """Brokers, security protocol (plaintext on one machine, IAM over TLS on MSK) and topics."""

    kafka_bootstrap: Brokers = "127.0.0.1:9092"
    kafka_security: Literal["plaintext", "msk_iam"] = "plaintext"
    # How soon every client notices new partitions, in seconds. Kafka's own default is five minutes.
    kafka_metadata_seconds: float = Field(default=20.0, gt=0, le=300)
    aws_region: str = "eu-central-1"
    purchases_topic: str = "purchases"
    dead_letters_topic: str = "purchases.dlq"
    recommendations_topic: str = "recommendations"
    products_topic: str = "products"


class RedisSettings(Settings):
    """The Redis of the live tables, and their number of shards."""

    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    redis_cluster: bool = False
    shards: int = Field(default=1, ge=1, le=1024)


class S3Settings(Settings):
    """The bucket of archive and models. Without keys the AWS default credential chain applies."""

    s3_endpoint: Annotated[HttpUrl | None, _empty_is_none] = None
    s3_bucket: str = "tillstream"
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None
    aws_region: str = "eu-central-1"


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
