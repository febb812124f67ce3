"""The engines start, work, stop, keep their data, and say what is wrong. Real engines."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import UnknownTopicOrPartitionError

from local.engines import Engine, KafkaEngine, S3Engine, ValkeyEngine
from local.engines.valkey import url_of
from local.ports import free_port, is_listening
from local.prerequisites import MissingPrerequisite
from local.process import ProcessDied, birth_of
from local.settings import StackSettings
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.common.storage_errors import AlreadyExists
from services.common.telemetry import PortInUse
from services.provision.steps import TopicsStep
from tests.support.engines import TopicFactory, running
from tests.support.polling import wait_until

ENGINES: list[Callable[[Path, Path, int], Engine]] = [KafkaEngine, ValkeyEngine, S3Engine]


@contextmanager
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@contextmanager
def store_of(settings: S3Settings) -> Iterator[ObjectStore]:
    store = ObjectStore(settings)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("engine", "setting"),
    [
        (KafkaEngine, "TILLSTREAM_KAFKA_PORT"),
        (ValkeyEngine, "TILLSTREAM_REDIS_PORT"),
        (S3Engine, "TILLSTREAM_S3_PORT"),
    ],
)
def test_a_port_in_use_is_named_with_its_setting(
    engine: Callable[[Path, Path, int], Engine], setting: str, tmp_path: Path
) -> None:
    with listener() as port, pytest.raises(PortInUse, match=f"port {port} .* {setting}"):
        engine(tmp_path, tmp_path / "log", port).start()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_dies_shows_the_end_of_its_log(
    engine: Callable[[Path, Path, int], Engine], tmp_path: Path
) -> None:
    victim = engine(tmp_path / "data", tmp_path / "log", free_port())
    process = victim.start()
    process.kill()
    (tmp_path / "log").write_text("\n".join(f"line {n}" for n in range(100)))
    with pytest.raises(ProcessDied, match=rf"(?s){victim.name} has ended by SIGKILL.*line 80\n.*line 99$"):
        victim.wait_ready(timeout_s=60)


def test_valkey_keeps_its_data_over_a_stop_and_refuses_to_evict(tmp_path: Path) -> None:
    def engine() -> ValkeyEngine:
        return ValkeyEngine(tmp_path / "data", tmp_path / "log", free_port())

    with running(engine()) as first, redis.Redis.from_url(first.address) as client:
        client.set("kept", "yes")
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("bind")["bind"] == "127.0.0.1"
    with running(engine()) as second, redis.Redis.from_url(second.address) as client:
        assert client.get("kept") == b"yes"


def test_valkey_with_a_password_answers_nobody_without_it(tmp_path: Path) -> None:
    folder = tmp_path / 'jü "a\\b'  # its configuration has this path in quotes
    password_file = folder / "password"
    engine = ValkeyEngine(folder, tmp_path / "log", free_port(), durable=False, password_file=password_file)
    with running(engine):
        with redis.Redis.from_url(engine.url) as client:
            assert client.config_get("dir")["dir"] == str(folder)
        for url in (engine.address, url_of(engine.port, "another")):
            with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
                client.ping()
    assert len(password_file.read_text()) >= 43
    for file in (password_file, folder / "valkey.conf"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_s3_keeps_its_data_and_keys_even_over_a_kill(tmp_path: Path) -> None:
    def engine() -> S3Engine:
        return S3Engine(tmp_path / "data", tmp_path / "log", free_port())

    first = engine()
    with running(first), store_of(first.settings("kept")) as store:
        store.create_bucket()
        store.put("a", b"1")
        assert first.process is not None
        first.process.kill()
    second = engine()
    with running(second), store_of(second.settings("kept")) as store:
        assert store.get("a") == b"1"
    assert stat.S_IMODE((tmp_path / "data" / "identities.json").stat().st_mode) == 0o600
    ports = json.loads((tmp_path / "data" / "grpc-ports.json").read_text())
    assert not [p for p in ports.values() if list(Path("/tmp").glob(f"seaweedfs-*-grpc-{p}.sock"))]


def test_s3_refuses_strangers_and_does_not_create_buckets_by_itself(s3: S3Settings) -> None:
    stranger = s3.model_copy(update={"s3_access_key": "stranger"})
    with store_of(stranger) as store, pytest.raises(Exception, match="InvalidAccessKeyId"):
        store.put("a", b"1")
    with store_of(s3.model_copy(update={"s3_bucket": "nowhere"})) as store:
        assert not store.exists()
        with pytest.raises(Exception, match="NoSuchBucket"):
            store.put("a", b"1")


def test_the_parts_of_s3_answer_each_other_only(s3_engine: S3Engine, s3: S3Settings) -> None:
    assert s3_engine.process is not None
    command = Path(f"/proc/{s3_engine.process.identity.pid}/cmdline").read_text().split("\0")
    master, volume, filer = (
        next(word.partition("=")[2] for word in command if word.startswith(f"-{part}.port="))
        for part in ("master", "volume", "filer")
    )
    with store_of(s3) as store:
        store.put("pointer", b"1")
        for method, url in (
            ("GET", f"http://127.0.0.1:{filer}/buckets/{s3.s3_bucket}/pointer"),
            ("PUT", f"http://127.0.0.1:{filer}/buckets/{s3.s3_bucket}/pointer"),
            ("GET", f"http://127.0.0.1:{master}/dir/assign"),
            ("GET", f"http://127.0.0.1:{master}/col/delete?collection={s3.s3_bucket}"),
            ("PUT", f"http://127.0.0.1:{volume}/1,0a1b2c3d4e"),
            ("GET", f"http://127.0.0.1:{volume}/1,0a1b2c3d4e"),
        ):
            assert httpx.request(method, url, content=b"2", timeout=60).status_code in (401, 404, 405), url
        assert store.get("pointer") == b"1"


@pytest.mark.parametrize("part", ["master", "volume", "filer", "s3"])
def test_a_part_of_s3_refuses_grpc_without_its_own_certificate(s3_engine: S3Engine, part: str) -> None:
    port = json.loads((s3_engine.folder / "grpc-ports.json").read_text())[part]
    trusted = grpc.ssl_channel_credentials((s3_engine.folder / "weed.pem").read_bytes())
    as_localhost = [("grpc.ssl_target_name_override", "localhost")]
    for channel in (
        grpc.insecure_channel(f"127.0.0.1:{port}"),
        grpc.secure_channel(f"127.0.0.1:{port}", trusted, as_localhost),
    ):
        with channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/no.Such/Call", bytes)(b"", timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE  # who is let in gets UNIMPLEMENTED


def test_s3_honours_conditional_writes(s3: S3Settings) -> None:
    with store_of(s3) as store:
        store.put_new("pointer", b"1")
        with pytest.raises(AlreadyExists):
            store.put_new("pointer", b"2")
        _, etag = store.get_with_etag("pointer")
        store.replace("pointer", b"3", etag)
        with pytest.raises(AlreadyExists):
            store.replace("pointer", b"4", etag)
        assert store.get("pointer") == b"3"


async def test_kafka_keeps_records_in_topics_that_were_asked_for_only(kafka: str, topics: TopicFactory) -> None:
    topic = topics(partitions=1).purchases
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, b"one")
    async with AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        record = await consumer.getone()
    assert (record.value, record.timestamp_type) == (b"one", 1), "the broker's time, not the sender's"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        (described,) = await admin.describe_topics(["purchases-nobody-made"])
        assert described["error_code"] == UnknownTopicOrPartitionError.errno
    finally:
        await admin.close()


def test_kafka_keeps_its_data_over_a_stop_and_its_topics_follow_the_contract(tmp_path: Path) -> None:
    def engine(classes: Path) -> KafkaEngine:
        return KafkaEngine(tmp_path / "data", tmp_path / "log", free_port(), classes=classes)

    unreadable = tmp_path / "kafka.jsa"
    unreadable.write_text("no archive of this Java's")
    with running(engine(tmp_path / "missing")) as first:
        for mebibytes in (1024, 64):  # what exists stays, with the bounds of the settings of today
            asked = StackSettings(kafka_bootstrap=first.address, kafka_retention_bytes=mebibytes * 1024**2)
            asyncio.run(TopicsStep(asked, apply=True, say=print).run(60))
    with running(engine(unreadable)) as second:
        assert second.process is not None
        command = Path(f"/proc/{second.process.identity.pid}/cmdline").read_text().split("\0")
        assert f"-XX:SharedArchiveFile={unreadable}" in command, "Java ignores it and starts"
        held = asyncio.run(configuration_of("purchases", second.address))
    assert held["retention.ms"] == "604800000"
    assert held["message.timestamp.type"] == "LogAppendTime"
    assert held["retention.bytes"] == str(16 * 1024**2), "a quarter for each of four partitions"
    assert held["segment.bytes"] == str(2 * 1024**2)


async def configuration_of(topic: str, bootstrap: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        await admin.close()
    _code, _message, _type, _name, entries = answer.resources[0]
    return {entry[0]: str(entry[1]) for entry in entries}


def test_kafka_without_jars_says_how_to_get_them(tmp_path: Path) -> None:
    engine = KafkaEngine(tmp_path, tmp_path / "log", free_port(), jars=tmp_path)
    with pytest.raises(MissingPrerequisite, match="make jars"):
        engine.start()


def test_an_engine_does_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    port = free_port()
    supervisor = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys, time\n"
            "from local.engines import ValkeyEngine\n"
            "folder = pathlib.Path(sys.argv[1])\n"
            "engine = ValkeyEngine(folder, folder / 'log', int(sys.argv[2]))\n"
            "print(engine.start().identity.pid, flush=True)\n"
            "time.sleep(60)\n",
            str(tmp_path),
            str(port),
        ],
        stdout=subprocess.PIPE,
    )
    assert supervisor.stdout is not None
    with supervisor.stdout:
        engine_pid = int(supervisor.stdout.readline())
    wait_until(lambda: is_listening(port), "the engine listens")
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait()
    wait_until(lambda: birth_of(engine_pid) is None, "the engine is gone")
