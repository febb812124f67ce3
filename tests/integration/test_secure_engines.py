"""Purchases through engines that ask for TLS and credentials: figures stay exact while tokens expire."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from botocore.exceptions import SSLError

from local.ports import free_port
from services.common.kafka import client_options, producer_options
from services.common.object_store import ObjectStore
from services.common.redis_client import connect
from services.common.settings import KafkaSettings, RedisSettings, S3Settings
from services.common.topics import DEAD_LETTERS, PURCHASES
from services.provision.topics import create
from tests.support.aggregator_process import AggregatorProcess, PurchaseFeed, assert_exact, until_assigned
from tests.support.certificates import Authority
from tests.support.engines import TopicNames, running
from tests.support.polling import eventually
from tests.support.secure_kafka import SecureKafka, own_connections_to, unsigned_token
from tests.support.tls_front import tls_front

# Clients do not send a token that ends within 5 s.
LIVES_S = 10.0
RENEWED_S = 1.0
REDIS_USER, REDIS_PASSWORD = "aggregator", "a-password-of-tests"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def broker(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    folder = tmp_path_factory.mktemp("secure-kafka")
    engine = SecureKafka(folder / "data", folder / "log", free_port(), authority.issue("broker"))
    with running(engine):
        yield engine


@pytest.fixture(autouse=True)
async def connections(broker: SecureKafka) -> AsyncIterator[None]:
    """After a test none to the broker is left.

    aiokafka does not wait until TLS is shut down. What an ended loop leaves open, the garbage collector finds during
    any later test, which then fails.
    """
    yield
    await eventually(lambda: not own_connections_to(broker.ports.values()), "connections to the broker are closed")


@pytest.fixture
def secure_redis(authority: Authority, redis_url: str, client: redis.Redis) -> Iterator[dict[str, Any]]:
    """Settings of Redis behind TLS, for a user who may use the live tables alone."""
    client.acl_setuser(REDIS_USER, enabled=True, passwords=[f"+{REDIS_PASSWORD}"], keys=["*"], categories=["+@all"])
    files = authority.issue("redis")
    address = urlsplit(redis_url)
    assert address.port is not None
    with tls_front(address.port, replace(files, ca=None)) as port:
        url = f"rediss://{REDIS_USER}:{REDIS_PASSWORD}@127.0.0.1:{port}/0"
        yield {"redis_url": url, "redis_ca_file": authority.ca}
    client.acl_deluser(REDIS_USER)


@contextmanager
def renewed_token(file: Path) -> Iterator[None]:
    """A file with a token that lives for a short time, replaced long before it ends, by a thread of its own."""
    done = Event()

    def write() -> None:
        fresh = file.with_suffix(".new")
        fresh.write_text(unsigned_token(LIVES_S))
        fresh.replace(file)

    def keep() -> None:
        while not done.wait(RENEWED_S):
            write()

    write()
    thread = Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def variables(settings: dict[str, Any]) -> dict[str, str]:
    return {f"TILLSTREAM_{name.upper()}": str(value) for name, value in settings.items()}


def settings_of(way: str, broker: SecureKafka, authority: Authority, token: Path) -> dict[str, Any]:
    own = authority.issue("client")
    differs: dict[str, dict[str, Any]] = {
        "SCRAM": {},
        "OAUTH": {"kafka_token_file": token},
        "MUTUAL": {"kafka_cert_file": own.cert, "kafka_key_file": own.key},
    }
    return broker.variables(way) | differs[way]


@pytest.mark.parametrize(("way", "rounds"), [("SCRAM", 1), ("OAUTH", 3), ("MUTUAL", 1)])
async def test_purchases_are_counted_to_the_cent(
    way: str,
    rounds: int,
    broker: SecureKafka,
    authority: Authority,
    secure_redis: dict[str, Any],
    client: redis.Redis,
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    given = settings_of(way, broker, authority, token)
    names = TopicNames(f"purchases-{way}", f"dead-letters-{way}")
    topics = {
        "purchases_topic": names.purchases,
        "dead_letters_topic": names.dead_letters,
        "aggregator_group": names.purchases,
        "aggregator_snapshot_seconds": 0,
    }
    aggregator = AggregatorProcess(variables(given | secure_redis | topics), tmp_path / "aggregator.log")
    with renewed_token(token):
        settings = KafkaSettings.model_validate(given)
        made = [replace(PURCHASES, name=names.purchases, partitions=2)]
        await create(settings, [*made, replace(DEAD_LETTERS, name=names.dead_letters, partitions=1)])
        feed = PurchaseFeed(settings.kafka_bootstrap, names, client_options(settings))
        aggregator.start()
        try:
            await until_assigned(aggregator, 3)
            for seed in range(rounds):  # the aggregator's connections outlive several tokens, busy ones and idle ones
                await feed.send(seed, 200)
                await asyncio.sleep(LIVES_S / 2 if rounds > 1 else 0)
            await assert_exact(client, feed)
        finally:
            aggregator.stop()


async def test_one_producer_outlives_its_tokens(broker: SecureKafka, authority: Authority, tmp_path: Path) -> None:
    """The gateway's and the recommender's stay connected for days: every record arrives once."""
    token = tmp_path / "token"
    settings = KafkaSettings.model_validate(settings_of("OAUTH", broker, authority, token))
    with renewed_token(token):
        await create(settings, [replace(PURCHASES, name="outlived", partitions=1)])
        async with AIOKafkaProducer(**producer_options(settings)) as producer:
            sent = []
            for number in range(13):
                sent.append(await producer.send_and_wait("outlived", b"%d" % number))
                await asyncio.sleep(LIVES_S / 10)
    assert [record.offset for record in sent] == list(range(13))


@pytest.mark.parametrize(
    ("way", "wrong"),
    [
        ("SCRAM", {"kafka_password": "wrong"}),
        ("OAUTH", {"kafka_token_file": "expired"}),
        ("MUTUAL", {"kafka_cert_file": None, "kafka_key_file": None}),
    ],
)
async def test_a_client_without_the_credential_is_refused(
    way: str, wrong: dict[str, Any], broker: SecureKafka, authority: Authority, tmp_path: Path
) -> None:
    expired = tmp_path / "expired"
    expired.write_text(unsigned_token(-1))
    given = settings_of(way, broker, authority, expired) | wrong
    if "kafka_token_file" in wrong:
        given["kafka_token_file"] = expired
    producer = AIOKafkaProducer(**client_options(KafkaSettings.model_validate(given)))
    try:
        with pytest.raises(KafkaError):
            await connected(producer)
    finally:
        await producer.stop()


async def connected(producer: AIOKafkaProducer) -> None:
    await producer.start()
    # aiokafka takes the refusal of a token for an agreement; the broker answers nothing all the same.
    await producer.client.fetch_all_metadata()


async def test_redis_of_another_authority_is_not_trusted(secure_redis: dict[str, Any], tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").ca
    for ca, trusted in ((secure_redis["redis_ca_file"], True), (other, False), (None, False)):
        settings = RedisSettings.model_validate(secure_redis | {"redis_ca_file": ca})
        connection = connect(settings)
        try:
            if trusted:
                assert await connection.ping()
            else:
                with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                    await connection.ping()
        finally:
            await connection.aclose()


def test_a_store_is_trusted_by_its_authority_alone(authority: Authority, s3: S3Settings) -> None:
    assert s3.s3_endpoint is not None
    port = urlsplit(s3.s3_endpoint).port
    assert port is not None
    with tls_front(port, replace(authority.issue("s3"), ca=None)) as front:
        secure = {**s3.model_dump(), "s3_endpoint": f"https://127.0.0.1:{front}"}
        store = ObjectStore(S3Settings.model_validate(secure | {"s3_ca_file": authority.ca}))
        store.put("key", b"value")
        assert store.get("key") == b"value"
        store.close()
        unknown = ObjectStore(S3Settings.model_validate(secure))
        with pytest.raises(SSLError):
            unknown.get("key")
        unknown.close()
