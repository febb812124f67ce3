"""Topics and bucket, created by the command on real engines."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import UnknownTopicOrPartitionError

from local.engines import KafkaEngine, S3Engine
from local.layout import REPOSITORY
from local.ports import free_port
from services.common.object_store import ObjectStore
from services.common.settings import KafkaSettings, S3Settings
from services.provision.plan import FoundTopic
from services.provision.topics import is_passing, topic_admin
from tests.support.polling import wait_until

Provision = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def names() -> dict[str, str]:
    """Names of topics and bucket of the test's own."""
    own = uuid.uuid4().hex[:12]
    return {
        "TILLSTREAM_PURCHASES_TOPIC": f"p-{own}",
        "TILLSTREAM_DEAD_LETTERS_TOPIC": f"d-{own}",
        "TILLSTREAM_RECOMMENDATIONS_TOPIC": f"r-{own}",
        "TILLSTREAM_S3_BUCKET": f"bucket-{own}",
    }


def s3_variables(s3: S3Settings) -> dict[str, str]:
    assert s3.s3_secret_key is not None
    return {
        "TILLSTREAM_S3_ENDPOINT": str(s3.s3_endpoint),
        "TILLSTREAM_S3_ACCESS_KEY": str(s3.s3_access_key),
        "TILLSTREAM_S3_SECRET_KEY": s3.s3_secret_key.get_secret_value(),
    }


@pytest.fixture
def provision(kafka: str, s3_engine: S3Engine, names: dict[str, str]) -> Provision:
    """Runs the command with settings over those of the test: `provision("grow", "--partitions", "8", S3_BUCKET=…)`."""
    fixed = {"TILLSTREAM_KAFKA_BOOTSTRAP": kafka, **s3_variables(s3_engine.settings()), **names}

    def run(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
        variables = fixed | {f"TILLSTREAM_{name}": str(value) for name, value in settings.items()}
        return subprocess.run(
            [sys.executable, "-m", "services.provision", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def found(kafka: str, topic: str) -> FoundTopic:
    async def find() -> FoundTopic:
        async with topic_admin(KafkaSettings(kafka_bootstrap=kafka)) as admin:
            return (await admin.find([topic]))[topic]

    return asyncio.run(find())


def override(kafka: str, topic: str, **config: str) -> None:
    """Set what an operator has set by hand, and nothing else."""

    async def alter() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        try:
            values = {name.replace("_", "."): value for name, value in config.items()}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=values)])
        finally:
            await admin.close()

    asyncio.run(alter())


def test_topics_and_bucket_are_created_once(provision: Provision, kafka: str, names: dict[str, str]) -> None:
    first, second = provision(KAFKA_PARTITIONS=6), provision(KAFKA_PARTITIONS=6)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    purchases, bucket = names["TILLSTREAM_PURCHASES_TOPIC"], names["TILLSTREAM_S3_BUCKET"]
    assert f"topic {purchases}: created, partitions 6, replicas 1" in first.stdout
    assert f"bucket {bucket}: created" in first.stdout
    assert second.stdout.splitlines() == [line.replace("created", "exists") for line in first.stdout.splitlines()]
    topic = found(kafka, purchases)
    assert (topic.partitions, topic.config["message.timestamp.type"]) == (6, "LogAppendTime")
    assert found(kafka, names["TILLSTREAM_DEAD_LETTERS_TOPIC"]).partitions == 4


def test_the_bucket_is_left_alone_where_it_is_made_elsewhere(
    provision: Provision, s3_engine: S3Engine, names: dict[str, str]
) -> None:
    assert provision(S3_CREATE_BUCKET="false").returncode == 0
    with closing(ObjectStore(s3_engine.settings(names["TILLSTREAM_S3_BUCKET"]))) as store:
        assert not store.exists()


def test_what_differs_is_named_and_applied_only_on_request(
    provision: Provision, kafka: str, names: dict[str, str]
) -> None:
    purchases = names["TILLSTREAM_PURCHASES_TOPIC"]
    assert provision().returncode == 0
    override(kafka, purchases, message_timestamp_type="LogAppendTime", cleanup_policy="delete", retention_ms="5000000")
    second = provision()
    assert second.returncode == 0
    assert f"topic {purchases}: retention.ms is 5000000, the settings say 604800000; --apply sets it" in second.stdout
    assert found(kafka, purchases).config["retention.ms"] == "5000000"

    applied = provision("--apply")
    assert applied.returncode == 0
    assert "--apply" not in applied.stdout
    topic = found(kafka, purchases)
    assert topic.config["retention.ms"] == "604800000"
    assert topic.overrides["cleanup.policy"] == "delete", "what else is set on a topic stays"


def test_a_topic_with_the_times_of_its_senders_is_refused(
    provision: Provision, kafka: str, names: dict[str, str]
) -> None:
    purchases = names["TILLSTREAM_PURCHASES_TOPIC"]
    assert provision().returncode == 0
    override(kafka, purchases, message_timestamp_type="CreateTime")
    refused = provision()
    assert refused.returncode == 1
    assert "message.timestamp.type is CreateTime, the settings say LogAppendTime; --apply sets it" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert provision("--apply").returncode == 0


def test_purchases_grows_and_never_shrinks(provision: Provision, kafka: str, names: dict[str, str]) -> None:
    purchases = names["TILLSTREAM_PURCHASES_TOPIC"]
    early = provision("grow", "--partitions", "8")
    assert (early.returncode, "does not exist" in early.stderr) == (1, True)
    assert provision().returncode == 0
    assert "--partitions 8" in provision(KAFKA_PARTITIONS=8).stdout
    grown = provision("grow", "--partitions", "8")
    assert (grown.returncode, "4 partitions became 8" in grown.stdout) == (0, True), grown.stderr
    assert found(kafka, purchases).partitions == 8
    assert "8 partitions already" in provision("grow", "--partitions", "8").stdout
    refused = provision("grow", "--partitions", "4")
    assert refused.returncode == 1
    assert refused.stderr == f"provision: topic {purchases} has 8 partitions, and Kafka removes none\n"
    assert found(kafka, purchases).partitions == 8


def test_more_replicas_than_brokers_are_waited_for_and_then_named(provision: Provision) -> None:
    refused = provision("--within", "2", KAFKA_REPLICATION=3)
    assert refused.returncode == 1
    assert "waiting for Kafka" in refused.stdout
    assert "InvalidReplicationFactor" in refused.stderr


def test_wrong_keys_are_reported_at_once(provision: Provision) -> None:
    refused = provision(S3_SECRET_KEY="wrong", S3_BUCKET="tillstream")
    assert refused.returncode == 1
    assert refused.stderr.startswith("provision: ")
    assert "403" in refused.stderr
    assert "Traceback" not in refused.stderr


def says(log: Path, text: str) -> bool:
    return text in log.read_text()


def test_it_waits_for_engines_that_come_later(tmp_path: Path, names: dict[str, str]) -> None:
    kafka = KafkaEngine(tmp_path / "kafka", tmp_path / "kafka.log", free_port())
    s3 = S3Engine(tmp_path / "s3", tmp_path / "s3.log", free_port())
    s3.folder.mkdir()
    variables = {"TILLSTREAM_KAFKA_BOOTSTRAP": kafka.address, **s3_variables(s3.settings()), **names}
    log = tmp_path / "log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "services.provision"]
        process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **variables}, stdout=out, stderr=out)
    try:
        for engine, name in ((s3, "S3"), (kafka, "Kafka")):
            wait_until(partial(says, log, f"waiting for {name}"), f"it waits for {name}")
            engine.start()
        assert process.wait(120) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
        kafka.stop()
        s3.stop()
    assert f"topic {names['TILLSTREAM_PURCHASES_TOPIC']}: created" in log.read_text()


def test_a_topic_that_a_broker_does_not_know_yet_is_waited_for(kafka: str, names: dict[str, str]) -> None:
    async def find() -> None:
        async with topic_admin(KafkaSettings(kafka_bootstrap=kafka)) as admin:
            await admin.find_all([names["TILLSTREAM_PURCHASES_TOPIC"]])

    with pytest.raises(UnknownTopicOrPartitionError, match="does not know") as raised:
        asyncio.run(find())
    assert is_passing(raised.value)
