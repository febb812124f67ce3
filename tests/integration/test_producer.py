"""The producer on a real Kafka: every row arrives, in order, and after a crash the same command goes on."""

import asyncio
import gzip
import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError
from aiokafka.partitioner import DefaultPartitioner

from local.engines import KafkaEngine
from local.ports import free_port
from services.common.dead_letters import FileOrigin, origin_of, reason_of
from services.common.settings import KafkaSettings
from services.common.topics import ALL
from services.producer.checkpoint import CheckpointFile
from services.producer.kafka import connected
from services.producer.layouts.mapping import write_mapping
from services.producer.settings import ProducerSettings
from services.producer.source import FINGERPRINT_BYTES
from services.provision.topics import create
from tests.support import layouts
from tests.support.engines import TopicFactory, TopicNames
from tests.support.layouts import proposed
from tests.support.polling import wait_until
from tests.support.producer import Running, TopicRecord, read_topic, row, running, write_file

PRODUCER = "services.producer"
PRODUCT = int(row(0).split(",")[2])
BAD_TIME = row(1).replace("2020-04-24", "1970-01-01")
SHORT = "2020-04-24 19:16:21 UTC,2294584263154074236,2273948316817424439,,217.57,1515915625443148002"


@pytest.fixture
def names(topics: TopicFactory) -> TopicNames:
    return topics()


def environment(kafka: str, names: TopicNames, **more: str) -> dict[str, str]:
    settings = {
        "kafka_bootstrap": kafka,
        "purchases_topic": names.purchases,
        "dead_letters_topic": names.dead_letters,
        "metrics_port": "0",
    } | more
    return {f"TILLSTREAM_{name.upper()}": value for name, value in settings.items()}


class Shell:
    """Runs the producer's command with one state folder, as a person would again and again."""

    def __init__(self, kafka: str, names: TopicNames, folder: Path) -> None:
        self.variables = environment(kafka, names)
        self.state = folder / "state"
        self._folder = folder
        self._runs = 0

    def start(self, *arguments: object) -> "Running":
        self._runs += 1
        log = self._folder / f"run-{self._runs}.log"
        return Running(PRODUCER, [*map(str, arguments), "--state", str(self.state)], self.variables, log)

    def run(self, *arguments: object) -> tuple[int, str]:
        service = self.start(*arguments)
        try:
            return service.wait(), service.output
        finally:
            service.close()

    def next_row(self, source: str) -> int:
        checkpoint = CheckpointFile(self.state, source).read()
        return checkpoint.next_row if checkpoint else 1


@pytest.fixture
def shell(kafka: str, names: TopicNames, tmp_path: Path) -> Shell:
    return Shell(kafka, names, tmp_path)


def numbers(records: Sequence[TopicRecord]) -> list[int]:
    """The numbers that `row` made the records' rows from, by partition and offset."""
    return [int(json.loads(record.value or b"")["product_id"]) - PRODUCT for record in records]


def assert_each_counts_once(records: Sequence[TopicRecord], rows: range) -> None:
    """The aggregator's rule: of the records of one line the first counts."""
    first: dict[tuple[str, str], int] = {}
    for record, number in zip(records, numbers(records), strict=True):
        event = json.loads(record.value or b"")
        first.setdefault((event["order_id"], event["event_id"]), number)
    assert sorted(first.values()) == list(rows)


def test_too_many_bad_rows_stop_the_producer_where_that_is_asked_for(
    kafka: str, names: TopicNames, shell: Shell, tmp_path: Path
) -> None:
    rows = [BAD_TIME if 201 <= number <= 250 else row(number) for number in range(1, 401)]
    path = write_file(tmp_path / "kz.csv", rows)
    shell.variables |= {"TILLSTREAM_DEAD_LETTERS_STOP": "true", "TILLSTREAM_DEAD_LETTERS_RUN": "20"}
    status, output = shell.run(path, "--rate", "2000")
    assert status == 3
    assert "kz.csv: 20 consecutive records are invalid (bad_time); stopped before them" in output
    assert shell.next_row("kz.csv") <= 220
    assert read_topic(kafka, names.dead_letters) == [] or shell.next_row("kz.csv") > 201

    shell.variables["TILLSTREAM_DEAD_LETTERS_RUN"] = "51"
    status, output = shell.run(path)
    assert (status, "400 rows = 350 sent + 50 dead letters" in output) == (0, True)


def test_a_mapped_file_counts_once_in_any_container(
    kafka: str, names: TopicNames, shell: Shell, tmp_path: Path
) -> None:
    path, packed, mapping = tmp_path / "orders.csv", tmp_path / "again.csv.gz", tmp_path / "orders.mapping.toml"
    path.write_text(layouts.GENERIC + "soon;;A-3;4713;Brot;1;2,00\n")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    status, output = shell.run(path)
    assert status == 2
    assert f"`python -m services.producer inspect {path}` writes it, --mapping passes it" in output
    write_mapping(proposed(path).mapping, mapping, path.name)
    for file in (path, packed):
        status, output = shell.run(file, "--mapping", mapping)
        assert (status, "3 rows = 2 sent + 1 dead letters (bad_time 1)" in output) == (0, True)
    records = [json.loads(record.value or b"") for record in read_topic(kafka, names.purchases)]
    assert Counter((each["order_id"], each["price"]) for each in records) == {
        ("A-1", "1234.50"): 2,
        ("A-2", "12.00"): 2,
    }
    assert len({each["event_id"] for each in records}) == 2
    [first, again] = read_topic(kafka, names.dead_letters)
    assert first.value == again.value == b'soon,A-3,4713,,,,2.00,,1,,Brot,,soon,,A-3,4713,Brot,1,"2,00"'


def test_a_file_with_good_short_and_bad_rows(kafka: str, names: TopicNames, shell: Shell, tmp_path: Path) -> None:
    rows = [row(number, anonymous=number % 3 == 0) for number in range(1, 501)]
    rows[99], rows[199], rows[299] = BAD_TIME, SHORT.replace("2273948316817424439", str(PRODUCT + 200)), "half a row"
    path = write_file(tmp_path / "kz.csv.gz", rows)
    status, output = shell.run(path)
    assert status == 0
    assert "500 rows = 498 sent + 2 dead letters (bad_row 1, bad_time 1)" in output

    records = read_topic(kafka, names.purchases)
    assert sorted(numbers(records)) == [n for n in range(1, 501) if n not in {100, 300}]
    for partition in range(4):
        order = numbers([record for record in records if record.partition == partition and record.value])
        assert order == sorted(order), "the lines of a customer stay in order"
    everywhere = [0, 1, 2, 3]
    for record in records:
        event = json.loads(record.value or b"")
        assert record.key == (event.get("user_id") or event["order_id"]).encode()
        assert record.partition == DefaultPartitioner()(record.key, everywhere, everywhere)

    letters = {origin_of([*r.headers.items()]): r for r in read_topic(kafka, names.dead_letters)}
    assert letters[FileOrigin("kz.csv", 100)].value == BAD_TIME.encode()
    assert letters[FileOrigin("kz.csv", 300)].value == b"half a row"
    assert Counter(reason_of([*r.headers.items()]) for r in letters.values()) == {"bad_time": 1, "bad_row": 1}
    assert all(r.key == r.headers["source-event-id"] for r in letters.values())

    status, output = shell.run(path)
    assert (status, "nothing to do" in output) == (0, True)
    assert len(read_topic(kafka, names.purchases)) == 498


def test_kill_9_at_any_point_then_the_same_command(kafka: str, names: TopicNames, shell: Shell, tmp_path: Path) -> None:
    path = write_file(tmp_path / "kz.csv", (row(number) for number in range(1, 4_001)))
    for kills in range(1, 4):
        producer = shell.start(path, "--rate", 800)
        wait_until(partial(_is_past, shell, shell.next_row("kz.csv")), f"checkpoint {kills}")
        time.sleep(0.3 * kills)
        producer.kill()
        producer.close()
    assert 1 < shell.next_row("kz.csv") < 4_001
    assert shell.run(path)[0] == 0
    records = read_topic(kafka, names.purchases)
    assert len(records) > 4_000, "without a repeat this test would show little"
    assert_each_counts_once(records, range(1, 4_001))
    checkpoint = CheckpointFile(shell.state, "kz.csv").read()
    assert checkpoint
    assert (checkpoint.next_row, checkpoint.sent) == (4_001, 4_000)


def _is_past(shell: Shell, row: int) -> bool:
    return shell.next_row("kz.csv") > row


def test_a_lost_checkpoint_only_costs_work(kafka: str, names: TopicNames, shell: Shell, tmp_path: Path) -> None:
    path = write_file(tmp_path / "kz.csv", (row(number) for number in range(1, 301)))
    shell.run(path)
    shell.run(path, "--restart")
    (shell.state / "kz.csv.json").unlink()
    shell.run(path)
    records = read_topic(kafka, names.purchases)
    assert len(records) == 900
    assert_each_counts_once(records, range(1, 301))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_cleanly(kafka: str, names: TopicNames, shell: Shell, *, number: int, status: int) -> None:
    path = write_file(shell.state.parent / "kz.csv", (row(number) for number in range(1, 1_001)))
    producer = shell.start(path, "--rate", 200)
    wait_until(lambda: shell.next_row("kz.csv") > 1, "a checkpoint is written")
    producer.signal(number)
    assert producer.wait() == status
    assert "is next" in producer.output
    producer.close()
    assert shell.next_row("kz.csv") - 1 == len(read_topic(kafka, names.purchases)), "a clean stop repeats nothing"
    assert shell.run(path)[0] == 0
    assert sorted(numbers(read_topic(kafka, names.purchases))) == list(range(1, 1_001))


def test_history_then_stream(kafka: str, names: TopicNames, shell: Shell, tmp_path: Path) -> None:
    path = write_file(tmp_path / "kz.csv", (row(number) for number in range(1, 206)))
    shell.run(path, "--rows", ":90%")
    assert sorted(numbers(read_topic(kafka, names.purchases))) == list(range(1, 185))
    status, output = shell.run(path, "--rows", "90%:", "--rate", "x3600", "--json")
    assert status == 0
    summary = json.loads(output.splitlines()[-1])
    assert (summary["first_row"], summary["next_row"], summary["sent"]) == (185, 206, 205)
    assert sorted(numbers(read_topic(kafka, names.purchases))) == list(range(1, 206))


def test_a_steady_rate_is_held(shell: Shell, tmp_path: Path) -> None:
    path = write_file(tmp_path / "kz.csv", (row(number) for number in range(1, 401)))
    _, output = shell.run(path, "--rate", 100, "--json")
    assert 3.9 < json.loads(output.splitlines()[-1])["seconds"] < 60, "a busy machine may be late, never early"


def test_a_file_without_rows_is_fine(shell: Shell, tmp_path: Path) -> None:
    status, output = shell.run(write_file(tmp_path / "kz.csv", []))
    assert (status, "0 rows = 0 sent + 0 dead letters" in output) == (0, True)


def test_a_file_that_has_grown_is_gone_on_with(kafka: str, names: TopicNames, shell: Shell, tmp_path: Path) -> None:
    path = write_file(tmp_path / "kz.csv", (row(number) for number in range(1, 51)))
    shell.run(path)
    write_file(path, (row(number) for number in range(1, 71)))
    assert shell.run(path)[0] == 0
    assert sorted(numbers(read_topic(kafka, names.purchases))) == list(range(1, 71))


def test_daily_exports_under_one_name_are_all_sent(kafka: str, names: TopicNames, shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    for day in range(3):  # each the last two of four days
        write_file(path, (row(number) for number in range(1 + 50 * day, 101 + 50 * day)))
        status, output = shell.run(path)
        assert (status, "the checkpoint is of another file" in output) == (0, day > 0)
        status, output = shell.run(path)
        assert (status, "nothing to do" in output) == (0, True)
    assert_each_counts_once(read_topic(kafka, names.purchases), range(1, 201))


def test_a_file_that_changed_behind_its_beginning_is_sent_again(
    kafka: str, names: TopicNames, shell: Shell, tmp_path: Path
) -> None:
    rows = [row(number) for number in range(1, 2_001)]
    path = write_file(tmp_path / "orders.csv", rows)
    assert path.stat().st_size > FINGERPRINT_BYTES
    shell.run(path)
    rows[1_900] = row(2_001)
    status, output = shell.run(write_file(path, rows))
    assert (status, "the checkpoint is of another file" in output) == (0, True)
    assert_each_counts_once(read_topic(kafka, names.purchases), range(1, 2_002))


def test_name_order_and_partitions_change_no_identity(
    kafka: str, topics: TopicFactory, shell: Shell, tmp_path: Path
) -> None:
    rows = [row(number, anonymous=number % 3 == 0) for number in range(1, 301)]
    rows += [rows[7], SHORT, SHORT, BAD_TIME]
    sent = [
        sent_lines(kafka, topics(partitions=partitions), shell, write_file(tmp_path / name, lines))
        for name, lines, partitions in (("kz.csv", rows, 4), ("other.csv.gz", rows[::-1], 8))
    ]
    assert sent[0] == sent[1]
    assert len(set(sent[0])) == len(sent[0]) == 303


def sent_lines(kafka: str, names: TopicNames, shell: Shell, path: Path) -> list[tuple[str, str, str]]:
    """Order, event id and digest of every line of the file, sorted."""
    shell.variables |= environment(kafka, names)
    assert shell.run(path)[0] == 0
    events = [json.loads(record.value or b"") for record in read_topic(kafka, names.purchases)]
    return sorted((event["order_id"], event["event_id"], event["order_digest"]) for event in events)


def test_a_topic_created_anew_gets_everything_again(
    kafka: str, topics: TopicFactory, shell: Shell, tmp_path: Path
) -> None:
    path = write_file(tmp_path / "kz.csv", (row(number) for number in range(1, 51)))
    shell.run(path)
    anew = topics()
    shell.variables |= environment(kafka, anew)
    status, output = shell.run(path)
    assert (status, "another Kafka or topic" in output) == (0, True)
    assert sorted(numbers(read_topic(kafka, anew.purchases))) == list(range(1, 51))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.csv"], "nothing.csv cannot be read: No such file"),
        (["--rate", "0", "x.csv"], "is not a rate"),
        (["--rows", "9:3", "x.csv"], "ends before it starts"),
        (["--source", "s", "x.csv", "y.csv"], "give one file"),
        (["a/x.csv", "b/x.csv"], "same source name"),
    ],
)
def test_mistakes_are_one_clear_line(shell: Shell, arguments: list[str], words: str) -> None:
    status, output = shell.run(*arguments)
    assert status == 2
    assert words in output.splitlines()[-1]


async def test_a_broker_that_dies_between_two_questions_is_waited_for(
    kafka: str, names: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there for the look at the topics, and is away when the producer connects."""
    start, refused = AIOKafkaProducer.start, [KafkaConnectionError("killed just now")]

    async def starts_at_the_second_try(producer: AIOKafkaProducer) -> None:
        if refused:
            raise refused.pop()
        await start(producer)

    monkeypatch.setattr(AIOKafkaProducer, "start", starts_at_the_second_try)
    settings = ProducerSettings(
        kafka_bootstrap=kafka, purchases_topic=names.purchases, dead_letters_topic=names.dead_letters
    )
    async with connected(settings, asyncio.Event()) as (cluster, producer):
        await producer.send_and_wait(names.purchases, b"{}", partition=0)
    assert refused == []
    assert sum(cluster.log_ends.values()) == 0
    assert len(await asyncio.to_thread(read_topic, kafka, names.purchases)) == 1


def test_kafka_away_is_a_clear_line_after_its_patience(shell: Shell, tmp_path: Path) -> None:
    path = write_file(tmp_path / "kz.csv", [row(1)])
    address = f"127.0.0.1:{free_port()}"
    shell.variables |= {"TILLSTREAM_KAFKA_BOOTSTRAP": address, "TILLSTREAM_KAFKA_PATIENCE_S": "2"}
    status, output = shell.run(path)
    assert status == 1
    assert output.splitlines()[-1] == f"producer: Kafka at {address} did not answer within 2 s"


def test_a_broker_that_refuses_is_tried_again(kafka: str, names: TopicNames, shell: Shell, tmp_path: Path) -> None:
    """Found by the fault suite: a producer whose first batch met a full disk."""
    path = write_file(tmp_path / "kz.csv", [row(1), row(2)])
    asyncio.run(limit_messages(kafka, names.purchases, 60))
    producer = shell.start(path)
    try:
        wait_until(lambda: "Kafka refused a batch" in producer.output, "the batch is refused")
        asyncio.run(limit_messages(kafka, names.purchases, 1_048_576))
        assert producer.wait() == 0, producer.output
    finally:
        producer.close()
    assert sorted(numbers(read_topic(kafka, names.purchases))) == [1, 2]


async def limit_messages(kafka: str, topic: str, size: int) -> None:
    """Let the topic refuse batches of more bytes."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        limits = {"max.message.bytes": str(size), "message.timestamp.type": "LogAppendTime"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=limits)])
    finally:
        await admin.close()


def test_a_missing_topic_is_a_clear_line(kafka: str, shell: Shell, tmp_path: Path) -> None:
    shell.variables["TILLSTREAM_PURCHASES_TOPIC"] = "nowhere"
    status, output = shell.run(write_file(tmp_path / "kz.csv", [row(1)]))
    assert status == 2
    assert "topic nowhere does not exist" in output.splitlines()[-1]


def test_telemetry_is_given_up_where_its_port_is_taken(shell: Shell, tmp_path: Path) -> None:
    port = free_port()
    shell.variables["TILLSTREAM_METRICS_PORT"] = str(port)
    path = write_file(tmp_path / "kz.csv", (row(number) for number in range(1, 10_001)))
    first = shell.start(path, "--rate", 50)
    wait_until(lambda: shell.next_row("kz.csv") > 1, "the first producer is at work")
    status, output = shell.run(path, "--source", "beside", "--rows", ":11")
    assert (status, f"port {port} on 127.0.0.1 is in use" in output) == (0, True)
    first.kill()
    first.close()


def test_a_broker_that_restarts_is_waited_for(tmp_path: Path) -> None:
    engine = KafkaEngine(tmp_path / "kafka", tmp_path / "kafka.log", free_port())
    engine.start()
    try:
        engine.wait_ready()
        asyncio.run(create(KafkaSettings(kafka_bootstrap=engine.address), ALL))
        shell = Shell(engine.address, TopicNames("purchases", "purchases.dlq"), tmp_path)
        path = write_file(tmp_path / "kz.csv", (row(number) for number in range(1, 2_001)))
        with running(
            PRODUCER,
            [str(path), "--rate", "300", "--state", str(shell.state)],
            shell.variables,
            tmp_path / "log",
        ) as producer:
            wait_until(lambda: shell.next_row("kz.csv") > 1, "a checkpoint is written")
            engine.stop()
            time.sleep(1)
            engine.start()
            engine.wait_ready()
            assert producer.wait(90) == 0, producer.output
        records = read_topic(engine.address, "purchases")
        assert_each_counts_once(records, range(1, 2_001))
        assert len(records) == 2_000, "an idempotent producer repeats nothing across a restart"
    finally:
        engine.stop()
