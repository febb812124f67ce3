"""The engines of the tests: real ones, on free ports, with data in a temporary folder.

Nothing is skipped: where an engine cannot start, every test that needs it fails with the reason.
"""

import asyncio
import gc
import os
import uuid
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings

from local.engines import KafkaEngine, S3Engine, ValkeyEngine
from local.ports import free_port, take_share
from services.common.object_store import ObjectStore
from services.common.settings import KafkaSettings, S3Settings
from services.common.topics import DEAD_LETTERS, PURCHASES
from services.provision.topics import create
from tests.support import costs
from tests.support.engines import SHORT_LIVED_JAVA, SMALL_JOBS, TopicFactory, TopicNames, running
from tests.support.scheduling import UnitScheduling, place_of

# Several processes share the cores: how long an example takes says nothing.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--costs`."""
    parser.addoption("--costs", action="store_true", help="print what each suite took, clock and processor")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the developer's own settings out of the tests, and the workers' ports apart."""
    for name in [name for name in os.environ if name.startswith("TILLSTREAM_")]:
        del os.environ[name]
    os.environ |= SHORT_LIVED_JAVA | SMALL_JOBS
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would compile our modules again
    _take_ports(getattr(config, "workerinput", {}))
    costs.configure(config)


def _take_ports(worker: Mapping[str, Any]) -> None:
    """Every worker has its own, and so has the one process that `make test` runs next to them."""
    if worker:
        take_share(2 * int(worker["workerid"].removeprefix("gw")), 2 * worker["workercount"])
    else:
        take_share(1, 2)


def pytest_xdist_make_scheduler(config: pytest.Config) -> UnitScheduling:
    """A module's tests, and all that share the live shop, on one worker."""
    return UnitScheduling(config)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests stay until the end: the garbage collector would walk over them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest tests first."""
    items.sort(key=lambda item: place_of(item.nodeid))
    if hasattr(config, "workerinput"):
        _require_an_id_for_each(items)


def _require_an_id_for_each(items: list[pytest.Item]) -> None:
    """A worker runs tests of one id once. Raises UsageError where it would leave out a test."""
    shared = sorted(name for name, count in Counter(item.nodeid for item in items).items() if count > 1)
    if shared:
        raise pytest.UsageError(f"several tests have one id, run them without workers: {', '.join(shared)}")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of Apache Kafka. Topics are a test's own: see `topics`."""
    folder = tmp_path_factory.mktemp("kafka")
    with running(KafkaEngine(folder / "data", folder / "log", free_port())) as engine:
        yield engine.address


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of Valkey, with whatever earlier tests left there: see `redis_url`."""
    folder = tmp_path_factory.mktemp("valkey")
    with running(ValkeyEngine(folder / "data", folder / "log", free_port(), durable=False)) as engine:
        yield engine.address


@pytest.fixture
def redis_url(valkey: str) -> str:
    """The URL of Valkey, emptied for this test."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    return valkey


@pytest.fixture(scope="session")
def s3_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Engine]:
    """SeaweedFS's S3. Buckets are a test's own: see `s3`."""
    folder = tmp_path_factory.mktemp("s3")
    engine = S3Engine(folder / "data", folder / "log", free_port())
    with running(engine):
        yield engine


@pytest.fixture
def s3(s3_engine: S3Engine) -> S3Settings:
    """How to reach a bucket that is new and empty for this test."""
    settings = s3_engine.settings(bucket=f"test-{uuid.uuid4().hex[:12]}")
    store = ObjectStore(settings)
    try:
        store.create_bucket()
    finally:
        store.close()
    return settings


@pytest.fixture
def topics(kafka: str) -> TopicFactory:
    """Creates topics of the test's own: `topics()` or `topics(partitions=1)`, from sync and async tests alike."""

    def make(partitions: int = 4) -> TopicNames:
        name = f"purchases-{uuid.uuid4().hex[:12]}"
        made = [
            replace(PURCHASES, name=name, partitions=partitions),
            replace(DEAD_LETTERS, name=f"{name}.dlq", partitions=partitions),
        ]
        with ThreadPoolExecutor(1) as thread:  # an async test has a running loop, which asyncio.run refuses
            thread.submit(asyncio.run, create(KafkaSettings(kafka_bootstrap=kafka), made)).result()
        return TopicNames(made[0].name, made[1].name)

    return make
