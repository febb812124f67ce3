"""Shared by all aiokafka clients, Faust's too: how brokers are reached, start and stop."""

import asyncio
import base64
import json
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import AbstractTokenProvider
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaError,
    ProducerClosed,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from services.common.settings import KafkaSettings
from services.common.tls import client_context

logger = logging.getLogger(__name__)

Connected = TypeVar("Connected")

ISOLATION_LEVEL = "read_committed"
_WAIT_LOGGED_EVERY_S = 10.0
_TOKEN_MARGIN_S = 5.0

Offsets = Mapping[TopicPartition, int]


class TopicMissing(KafkaError):  # type: ignore[misc]  # aiokafka is untyped
    """A topic does not exist yet."""


class MskTokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """Signs a short-lived token with the pod's AWS role (needs the `aws` dependencies)."""

    def __init__(self, region: str) -> None:
        self._region = region

    async def token(self) -> str:
        """A fresh token; signing blocks, so it happens in a thread."""
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 (only installed for AWS)

        token, _expiry_ms = await asyncio.to_thread(MSKAuthTokenProvider.generate_auth_token, self._region)
        return str(token)


class FileTokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """The token that a file holds now. aiokafka asks for it at each connection, and brokers end those that expire."""

    def __init__(self, path: Path, margin_s: float = _TOKEN_MARGIN_S) -> None:
        """A token that ends within `margin_s` counts as expired: it has to reach the broker, whose clock may differ."""
        self._path = path
        self._margin_s = margin_s

    async def token(self) -> str:
        """The token. Raises OSError, AuthenticationFailedError: both count as a broker that cannot be reached.

        aiokafka 0.14 takes a broker's refusal of a token for an agreement, and such a client never recovers. So a token
        that has expired or is about to, which is a JSON Web Token nearly always, is not sent.
        """
        token = (await asyncio.to_thread(self._path.read_text)).strip()
        expires = _expiry(token)
        if expires is not None and expires <= time.time() + self._margin_s:
            raise AuthenticationFailedError(f"the token in {self._path} has expired or is about to")
        return token


def _expiry(token: str) -> float | None:
    """When a JSON Web Token expires, in seconds since 1970; None for any other token."""
    try:
        payload = token.split(".")[1]
        expires = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(expires)
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def metadata_max_age_ms(settings: KafkaSettings) -> int:
    """How old a client's list of partitions may become."""
    return int(settings.kafka_metadata_seconds * 1000)


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for AIOKafkaProducer, AIOKafkaConsumer and AIOKafkaAdminClient."""
    return {
        "bootstrap_servers": settings.kafka_bootstrap,
        "metadata_max_age_ms": metadata_max_age_ms(settings),
        **security_options(settings),
    }


def security_options(settings: KafkaSettings) -> dict[str, Any]:
    """Those of `client_options` that say how a broker is trusted, and who asks."""
    context = {"ssl_context": client_context(settings.kafka_tls_files)} if settings.kafka_tls else {}
    match settings.kafka_security:
        case "plaintext":
            return {}
        case "tls":
            return {"security_protocol": "SSL", **context}
        case "msk_iam":
            return {"security_protocol": "SASL_SSL", **context, **_bearer(MskTokenProvider(settings.aws_region))}
        case "sasl_tls":
            return {"security_protocol": "SASL_SSL", **context, **_sasl(settings)}
        case "sasl_plaintext":
            return {"security_protocol": "SASL_PLAINTEXT", **_sasl(settings)}


def _sasl(settings: KafkaSettings) -> dict[str, Any]:
    if settings.kafka_token_file is not None and settings.kafka_sasl_mechanism == "OAUTHBEARER":
        return _bearer(FileTokenProvider(settings.kafka_token_file))
    password = settings.kafka_password
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_user,
        "sasl_plain_password": password.get_secret_value() if password else None,
    }


def _bearer(provider: AbstractTokenProvider) -> dict[str, Any]:
    return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider}


def producer_options(settings: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for an AIOKafkaProducer whose records arrive once and in order, whatever it has to retry."""
    # Measured: zstd costs 0.5 µs an event in aiokafka and leaves 37 bytes; lz4 costs 2.9 and leaves 53.
    return {"enable_idempotence": True, "acks": "all", "compression_type": "zstd", **client_options(settings)}


def make_consumer(settings: KafkaSettings, *topics: str, **options: Any) -> AIOKafkaConsumer:
    """A consumer that is not started yet; every reader of the services is made here.

    It reads committed records only: what a transaction wrote and aborted is never delivered, and `end_offsets` are the
    last stable offsets, so that whatever measures how far it is behind reaches 0 (docs/adr/0086).
    """
    given = {**client_options(settings), **options}
    return AIOKafkaConsumer(*topics, isolation_level=ISOLATION_LEVEL, **given)


async def until_reachable(
    connect: Callable[[], Awaitable[Connected]], on_wait: Callable[[Exception], None], pause_s: float = 1.0
) -> Connected:
    """What `connect` returns, retried while Kafka cannot be reached.

    `on_wait` gets the error of each failed attempt; it may raise to give up.
    """
    while True:
        try:
            return await connect()
        except (KafkaError, OSError) as error:
            on_wait(error)
        await asyncio.sleep(pause_s)


async def require_topics(settings: KafkaSettings, topics: Collection[str]) -> None:
    """Return where Kafka answers and has the topics. Raises TopicMissing, KafkaError, OSError."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        described = await describe_topics(admin, topics)
    finally:
        await admin.close()
    if missing := [each["topic"] for each in described if is_missing(each)]:
        names = " and ".join(sorted(missing))
        raise TopicMissing(f"{names}: no such topic yet; `python -m services.provision` creates it")


async def describe_topics(admin: AIOKafkaAdminClient, topics: Collection[str]) -> list[dict[str, Any]]:
    """What the brokers say of each of the topics, see `is_missing`. Raises KafkaError.

    The admin client's own call would create a topic that is missing, with the brokers' defaults, where they allow that.
    """
    answer = await admin._send_request(MetadataRequest([*topics], allow_auto_topic_creation=False))
    return list(answer.to_object()["topics"])


def is_missing(described: Mapping[str, Any]) -> bool:
    """Whether there is no such topic. Raises KafkaError where the brokers do not say, as without the right to know."""
    code = described["error_code"]
    if code and for_code(code) is not UnknownTopicOrPartitionError:
        raise for_code(code)(described["topic"])
    return bool(code)


class WaitLog:
    """Logs that Kafka is waited for: each new reason at once, the same one every ten seconds."""

    def __init__(self, on_wait: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`on_wait` gets the reason of each failed attempt."""
        self._on_wait = on_wait
        self._clock = clock
        self._logged = ""
        self._logged_at = float("-inf")

    def __call__(self, error: Exception) -> None:
        """Note a failed attempt: pass this to `until_reachable`."""
        reason, now = str(error) or repr(error), self._clock()
        self._on_wait(reason)
        if reason != self._logged or now - self._logged_at >= _WAIT_LOGGED_EVERY_S:
            self._logged, self._logged_at = reason, now
            logger.warning("waiting for Kafka: %s", reason)


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer whose broker may be away.

    aiokafka 0.14 then raises the cancellation of one of its own fetches, as if the caller had been cancelled, and
    leaves its connections open, which retry for ever. Raises CancelledError only where the caller was cancelled.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        fetches = consumer._fetcher._pending_tasks if consumer._fetcher else ()
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
        await consumer._client.close()
        if task and task.cancelling() > before:
            raise


async def stop_producer(producer: AIOKafkaProducer, within_s: float) -> None:
    """Stop a producer whose broker may be away; records not sent within the time fail.

    aiokafka 0.14 leaves its sender running where stopping times out.
    """
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.stop(), within_s)
        return
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    await producer.client.close()
    if sender is not None:
        await asyncio.wait([sender], timeout=within_s)
    producer._message_accumulator.fail_all(ProducerClosed())


def position_now(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """The offset that the consumer reads next, without waiting; None where it has none, as while it is being reset.

    Right after a fetch it lies past the markers of transactions and the aborted records that the fetch went over.
    """
    subscription = consumer._subscription.subscription
    assignment = subscription.assignment if subscription else None
    state = assignment.state_value(partition) if assignment and partition in assignment.tps else None
    return int(state.position) if state and state.has_valid_position else None


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """A topic's partitions, ascending. Raises KafkaError where the topic does not exist."""
    if not consumer.partitions_for_topic(topic):
        # A client without a subscription only loads the topic's metadata when it asks for an offset.
        await consumer.end_offsets([TopicPartition(topic, 0)])
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]


def behind(reached: Offsets, begins: Offsets, ends: Offsets) -> int:
    """Records before `ends` that were not reached; records that expired from the log do not count."""
    return sum(max(0, end - max(reached.get(p, 0), begins[p])) for p, end in ends.items())
