"""The archiver on real engines: after crash, zombie and outage the archive holds each record of the topic, once."""

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from local.engines import KafkaEngine, S3Engine
from local.ports import free_port
from services.common.archive.keys import Extent, object_key
from services.common.archive.lines import read_line
from services.common.object_store import ObjectStore
from services.common.settings import KafkaSettings, S3Settings
from services.common.topics import ALL, PURCHASES
from services.provision.topics import create
from tests.support.engines import TopicFactory, TopicNames
from tests.support.polling import wait_until
from tests.support.producer import archived_lines, committed, read_topic, readiness, running, send

ARCHIVER = "services.archiver"


def environment(kafka: str, topic: str, s3: S3Settings, **more: str) -> dict[str, str]:
    assert s3.s3_endpoint
    assert s3.s3_access_key
    assert s3.s3_secret_key
    settings = {
        "kafka_bootstrap": kafka,
        "purchases_topic": topic,
        "archive_group": f"archiver-{uuid.uuid4().hex[:8]}",
        "archive_object_bytes": "3000",
        "archive_object_age_s": "1",
        "metrics_port": str(free_port()),
        "s3_endpoint": s3.s3_endpoint,
        "s3_bucket": s3.s3_bucket,
        "s3_access_key": s3.s3_access_key,
        "s3_secret_key": s3.s3_secret_key.get_secret_value(),
    } | more
    return {f"TILLSTREAM_{name.upper()}": value for name, value in settings.items()}


def is_archived(kafka: str, variables: Mapping[str, str], topic: str, partitions: int = 4) -> bool:
    ends = dict.fromkeys(range(partitions), 0)
    for record in read_topic(kafka, topic):
        ends[record.partition] = record.offset + 1
    return committed(kafka, variables["TILLSTREAM_ARCHIVE_GROUP"], topic, partitions) == ends


def assert_archive_is_topic(kafka: str, topic: str, s3: S3Settings) -> None:
    """Read by the one reader of lines, the batch job's and the aggregator's."""
    archived = [read_line(line) for line in archived_lines(s3)]
    expected = [(r.partition, r.offset, r.timestamp, r.value) for r in read_topic(kafka, topic)]
    assert expected
    assert sorted(archived, key=lambda r: (r.partition, r.offset)) == expected


def event(number: int) -> bytes:
    return b'{"event_time":"2020-04-24T11:50:39Z","order_id":"%d","filler":"%s"}' % (
        number,
        os.urandom(20).hex().encode(),
    )


@pytest.fixture
def names(topics: TopicFactory) -> TopicNames:
    return topics()


def test_archive_is_the_topic_after_kill_9(kafka: str, names: TopicNames, s3: S3Settings, tmp_path: Path) -> None:
    variables = environment(kafka, names.purchases, s3)
    send(kafka, names.purchases, (event(number) for number in range(2_000)))
    with running(ARCHIVER, [], variables, tmp_path / "log") as archiver:
        wait_until(lambda: len(archived_lines(s3)) > 200, "some objects are written")
        archiver.kill()
    send(kafka, names.purchases, (event(number) for number in range(2_000, 4_000)))
    with running(ARCHIVER, [], variables, tmp_path / "log"):
        wait_until(lambda: is_archived(kafka, variables, names.purchases), "everything is archived")
        assert_archive_is_topic(kafka, names.purchases, s3)


def test_a_commit_that_was_lost_repeats_nothing(kafka: str, names: TopicNames, s3: S3Settings, tmp_path: Path) -> None:
    """As after a crash between upload and commit, or with the group's offsets expired."""
    send(kafka, names.purchases, (event(number) for number in range(300)))
    for group in ("one", "another"):
        variables = environment(kafka, names.purchases, s3, archive_group=f"{names.purchases}-{group}")
        with running(ARCHIVER, [], variables, tmp_path / "log"):
            # The second group has no offsets: the archive itself says where to go on.
            wait_until(partial(is_archived_once_more, kafka, variables, names.purchases), "everything is archived")
    assert_archive_is_topic(kafka, names.purchases, s3)


def is_archived_once_more(kafka: str, variables: Mapping[str, str], topic: str) -> bool:
    """Whether every partition has a commit of this group: each gets new records until then."""
    send(kafka, topic, (event(number) for number in range(40)))
    time.sleep(2)
    return is_archived(kafka, variables, topic)


def test_a_zombie_that_wakes_late_neither_loses_nor_repeats(
    kafka: str, names: TopicNames, s3: S3Settings, tmp_path: Path
) -> None:
    # Objects close late, so that the zombie freezes with records in hand and wakes to write them.
    variables = environment(kafka, names.purchases, s3, archive_object_bytes="5000000", archive_object_age_s="4")
    with running(ARCHIVER, [], variables, tmp_path / "zombie.log") as zombie:
        port = int(variables["TILLSTREAM_METRICS_PORT"])
        wait_until(lambda: bool(readiness(port).get("ready")), "the first archiver is ready")
        send(kafka, names.purchases, (event(number) for number in range(500)))
        wait_until(lambda: readiness(port)["figures"]["lag"] == 0, "the first archiver has fetched everything")
        zombie.signal(signal.SIGSTOP)
        successor = variables | {"TILLSTREAM_METRICS_PORT": str(free_port())}
        with running(ARCHIVER, [], successor, tmp_path / "successor.log"):
            send(kafka, names.purchases, (event(number) for number in range(500, 900)))
            wait_until(lambda: is_archived(kafka, variables, names.purchases), "the successor has taken over")
            zombie.signal(signal.SIGCONT)
            send(kafka, names.purchases, (event(number) for number in range(900, 1_200)))
            wait_until(lambda: is_archived(kafka, variables, names.purchases), "both go on")
            time.sleep(5)  # whatever the zombie still has in hand is due by now
            assert zombie.process.poll() is None
            assert_archive_is_topic(kafka, names.purchases, s3)


def test_values_that_are_no_events_are_archived_byte_for_byte(
    kafka: str, names: TopicNames, s3: S3Settings, tmp_path: Path
) -> None:
    values = [
        b'{"order_id":1.50,"order_id":"twice","big":12345678901234567890123}',
        b"no json",
        b'"a json string"',
        b"null",
        None,
        b"",
        b"text with\nline\r\nends",
        b"[" * 3_000,
        b'{"bytes":"\xff"}',
        b"\x00\x01",
        "Kännchen für 4,20 €\u2028".encode(),
        b"-1e999",
    ]
    send(kafka, names.purchases, values, partition=2)
    variables = environment(kafka, names.purchases, s3)
    with running(ARCHIVER, [], variables, tmp_path / "log"):
        wait_until(lambda: is_archived(kafka, variables, names.purchases), "everything is archived")
    assert [read_line(line).value for line in archived_lines(s3)] == values


def test_sigterm_writes_and_commits_what_is_open(kafka: str, names: TopicNames, s3: S3Settings, tmp_path: Path) -> None:
    variables = environment(kafka, names.purchases, s3, archive_object_bytes="5000000", archive_object_age_s="3600")
    port = int(variables["TILLSTREAM_METRICS_PORT"])
    send(kafka, names.purchases, (event(number) for number in range(200)))
    with running(ARCHIVER, [], variables, tmp_path / "log") as archiver:
        wait_until(lambda: readiness(port).get("figures", {}).get("lag") == 0, "everything is fetched")
        assert archived_lines(s3) == []
        archiver.signal(signal.SIGTERM)
        assert archiver.wait() == 0
    assert is_archived(kafka, variables, names.purchases)
    assert_archive_is_topic(kafka, names.purchases, s3)


def test_s3_away_is_waited_for(kafka: str, names: TopicNames, tmp_path: Path) -> None:
    engine = S3Engine(tmp_path / "s3", tmp_path / "s3.log", free_port())
    engine.start()
    try:
        engine.wait_ready()
        s3 = engine.settings(bucket="outage")
        store = ObjectStore(s3)
        store.create_bucket()
        store.close()
        variables = environment(kafka, names.purchases, s3)
        port = int(variables["TILLSTREAM_METRICS_PORT"])
        with running(ARCHIVER, [], variables, tmp_path / "log"):
            wait_until(lambda: bool(readiness(port).get("ready")), "the archiver is ready")
            engine.stop()
            send(kafka, names.purchases, (event(number) for number in range(500)))
            wait_until(lambda: not readiness(port)["checks"]["s3"]["ok"], "the archiver sees that S3 is away")
            engine.start()
            engine.wait_ready()
            wait_until(lambda: is_archived(kafka, variables, names.purchases), "everything is archived", 90)
            wait_until(lambda: bool(readiness(port)["ready"]), "the archiver is ready again")
            assert_archive_is_topic(kafka, names.purchases, s3)
    finally:
        engine.stop()


def test_a_broker_that_restarts_is_waited_for(s3: S3Settings, tmp_path: Path) -> None:
    engine = KafkaEngine(tmp_path / "kafka", tmp_path / "kafka.log", free_port())
    engine.start()
    try:
        engine.wait_ready()
        asyncio.run(create(KafkaSettings(kafka_bootstrap=engine.address), ALL))
        variables = environment(engine.address, PURCHASES.name, s3)
        port = int(variables["TILLSTREAM_METRICS_PORT"])
        with running(ARCHIVER, [], variables, tmp_path / "log") as archiver:
            send(engine.address, PURCHASES.name, (event(number) for number in range(300)))
            wait_until(lambda: len(archived_lines(s3)) > 0, "the first objects are written")
            engine.stop()
            wait_until(lambda: not readiness(port)["checks"]["kafka"]["ok"], "the archiver sees that Kafka is away")
            engine.start()
            engine.wait_ready()
            send(engine.address, PURCHASES.name, (event(number) for number in range(300)))
            wait_until(lambda: is_archived(engine.address, variables, PURCHASES.name), "everything is archived")
            wait_until(lambda: bool(readiness(port)["ready"]), "the archiver is ready again")
            assert archiver.process.poll() is None
            assert_archive_is_topic(engine.address, PURCHASES.name, s3)
    finally:
        engine.stop()


def test_an_archiver_without_a_partition_stands_by_ready(
    kafka: str, topics: TopicFactory, s3: S3Settings, tmp_path: Path
) -> None:
    names = topics(partitions=1)
    variables = environment(kafka, names.purchases, s3)
    ports = [int(variables["TILLSTREAM_METRICS_PORT"]), free_port()]
    standby = variables | {"TILLSTREAM_METRICS_PORT": str(ports[1])}
    with (
        running(ARCHIVER, [], variables, tmp_path / "one.log") as one,
        running(ARCHIVER, [], standby, tmp_path / "other.log") as other,
    ):
        wait_until(lambda: all(readiness(port).get("ready") for port in ports), "both are ready")
        send(kafka, names.purchases, (event(number) for number in range(100)))
        wait_until(partial(is_archived, kafka, variables, names.purchases, 1), "everything is archived")
        one.signal(signal.SIGTERM)
        assert one.wait() == 0
        send(kafka, names.purchases, (event(number) for number in range(100)))
        wait_until(partial(is_archived, kafka, variables, names.purchases, 1), "the other has taken over")
        assert other.process.poll() is None
        assert_archive_is_topic(kafka, names.purchases, s3)


def test_the_archive_of_another_log_is_refused(
    kafka: str, topics: TopicFactory, s3: S3Settings, tmp_path: Path
) -> None:
    names = topics(partitions=1)
    send(kafka, names.purchases, (event(number) for number in range(20)))
    earlier = Extent(0, 1_587_729_039_000, 9, 1_587_729_040_000)
    store = ObjectStore(s3)
    store.put_new(object_key(0, 0, earlier.first_timestamp_ms), b"", earlier.metadata())
    store.close()
    with running(ARCHIVER, [], environment(kafka, names.purchases, s3), tmp_path / "log") as archiver:
        assert archiver.wait() == 1
        assert "not the one that was archived" in archiver.output
    assert archived_lines_of_others(s3) == 0


def archived_lines_of_others(s3: S3Settings) -> int:
    store = ObjectStore(s3)
    try:
        return len(list(store.list("raw/purchases/"))) - 1
    finally:
        store.close()


def test_a_bucket_that_does_not_exist_yet_is_waited_for(
    kafka: str, names: TopicNames, s3: S3Settings, tmp_path: Path
) -> None:
    later = s3.model_copy(update={"s3_bucket": f"{s3.s3_bucket}-later"})
    variables = environment(kafka, names.purchases, later)
    port = int(variables["TILLSTREAM_METRICS_PORT"])
    with running(ARCHIVER, [], variables, tmp_path / "log") as archiver:
        wait_until(lambda: "does not exist yet" in archiver.output, "the log says what is missing")
        assert not readiness(port)["ready"]
        store = ObjectStore(later)
        store.create_bucket()
        store.close()
        wait_until(lambda: bool(readiness(port)["ready"]), "the archiver is ready")


def test_a_wrong_setting_is_one_clear_line(kafka: str, names: TopicNames, s3: S3Settings, tmp_path: Path) -> None:
    variables = environment(kafka, names.purchases, s3, archive_object_bytes="many")
    with running(ARCHIVER, [], variables, tmp_path / "log") as archiver:
        assert archiver.wait() == 2
        assert "TILLSTREAM_ARCHIVE_OBJECT_BYTES" in archiver.output
