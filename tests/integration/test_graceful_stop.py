"""SIGTERM in the middle of the work: each service ends in time, and nothing needs to be done a second time."""

import asyncio
import json
import re
import signal
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import redis
from aiokafka import AIOKafkaProducer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from local.ports import free_port
from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.common.tables import shard_keys
from services.producer.checkpoint import CheckpointFile
from services.recommender.service import SERVICE_NAME
from tests.support.engines import TopicFactory, TopicNames
from tests.support.models import checkerboard, publish
from tests.support.polling import wait_until
from tests.support.producer import (
    Running,
    archived_lines,
    committed,
    read_topic,
    readiness,
    row,
    running,
    write_file,
)

PARTITIONS = 2
GRACE_S = 15.0  # what one machine and a cluster leave at least; on a quiet machine a stop takes less than ten


@pytest.fixture
def names(topics: TopicFactory) -> TopicNames:
    return topics(partitions=PARTITIONS)


def event(event_id: str) -> bytes:
    return json.dumps(
        {
            "event_id": event_id,
            "event_time": "2020-04-24T11:50:39Z",
            "order_id": f"order {event_id}",
            "product_id": "1515966223509089906",
            "price": "1.00",
        }
    ).encode()


def environment(**settings: object) -> dict[str, str]:
    return {f"TILLSTREAM_{name.upper()}": str(value) for name, value in settings.items()}


def s3_environment(s3: S3Settings) -> dict[str, str]:
    assert s3.s3_secret_key is not None
    return environment(
        s3_endpoint=s3.s3_endpoint,
        s3_bucket=s3.s3_bucket,
        s3_access_key=s3.s3_access_key,
        s3_secret_key=s3.s3_secret_key.get_secret_value(),
    )


def stop(service: Running, status: int = 0) -> None:
    """Ask to stop; the service must end by itself within its grace."""
    asked = time.monotonic()
    service.signal(signal.SIGTERM)
    assert service.wait(GRACE_S) == status, service.output
    print(f"stopped in {time.monotonic() - asked:.1f} s")


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found, name
    return float(found[1])


class Tide:
    """Events that come in all the while, from a thread: whoever is stopped is stopped in the middle."""

    def __init__(self, kafka: str, topic: str) -> None:
        self.sent = 0
        self._kafka = kafka
        self._topic = topic
        self._ebb = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._flow()))

    def __enter__(self) -> "Tide":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ebb.set()
        self._thread.join()

    async def _flow(self) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self._kafka) as producer:
            while not self._ebb.is_set():
                for _ in range(50):
                    self.sent += 1
                    await producer.send(self._topic, event(f"till:{self.sent}"), key=str(self.sent).encode())
                await asyncio.sleep(0.02)


# --- aggregator ---


def marks(client: redis.Redis, topic: str) -> dict[int, int]:
    """Where the tables stand, by partition."""
    (keys,) = shard_keys(1)
    found: dict[bytes, bytes] = client.hgetall(keys("marks"))  # type: ignore[assignment]  # sync client, typed as both
    return {
        int(name.rpartition(b"/")[2]): int(mark)
        for name, mark in found.items()
        if name.startswith(f"{topic}/".encode())
    }


def test_the_aggregator_commits_what_the_tables_hold(
    kafka: str, redis_url: str, names: TopicNames, tmp_path: Path
) -> None:
    port = free_port()
    variables = environment(
        kafka_bootstrap=kafka,
        redis_url=redis_url,
        purchases_topic=names.purchases,
        dead_letters_topic=names.dead_letters,
        aggregator_group=names.purchases,
        aggregator_metrics_port=port,
        aggregator_chunk=100,  # small, so that a batch takes its time
    )
    with redis.Redis.from_url(redis_url) as client:
        with (
            Tide(kafka, names.purchases) as tide,
            running("services.aggregator", [], variables, tmp_path / "log") as it,
        ):
            wait_until(lambda: sum(marks(client, names.purchases).values()) > 500, "some are applied")
            stop(it)
            assert "Traceback" not in it.output
        stopped_at = marks(client, names.purchases)
        assert sum(stopped_at.values()) < tide.sent, "it was stopped in the middle"
        hints = committed(kafka, names.purchases, names.purchases, PARTITIONS)
        assert {partition: hint for partition, hint in hints.items() if hint} == stopped_at

        with running("services.aggregator", [], variables, tmp_path / "log"):
            wait_until(lambda: sum(marks(client, names.purchases).values()) == tide.sent, "the rest is applied")
            rest = tide.sent - sum(stopped_at.values())
            assert metric(port, "tillstream_aggregator_lines_total") == rest
            # The first alignment may seek back over a batch that has just been applied, but to nothing before the stop.
            assert metric(port, "tillstream_aggregator_refetched_records_total") <= rest


# --- archiver ---


def test_the_archiver_archives_what_it_has_fetched(
    kafka: str, names: TopicNames, s3: S3Settings, tmp_path: Path
) -> None:
    port = free_port()
    variables = s3_environment(s3) | environment(
        kafka_bootstrap=kafka,
        purchases_topic=names.purchases,
        archive_group=names.purchases,
        metrics_port=port,
        archive_object_bytes=5_000,
    )
    with (
        Tide(kafka, names.purchases) as tide,
        running("services.archiver", [], variables, tmp_path / "log") as archiver,
    ):
        wait_until(lambda: len(archived_lines(s3)) > 500, "some are archived")
        stop(archiver)
        assert "all fetched records are archived" in archiver.output
    archived = Counter(json.loads(line)["partition"] for line in archived_lines(s3))
    assert archived.total() < tide.sent, "it was stopped in the middle"
    assert dict(archived) == committed(kafka, names.purchases, names.purchases, PARTITIONS)

    with running("services.archiver", [], variables, tmp_path / "log") as archiver:
        wait_until(lambda: readiness(port).get("figures", {}).get("lag") == 0, "the rest is fetched")
        stop(archiver)
    places = [(line["partition"], line["offset"]) for line in map(json.loads, archived_lines(s3))]
    assert len(places) == len(set(places)) == tide.sent


# --- producer ---


def test_the_producer_goes_on_where_the_broker_acknowledged(kafka: str, names: TopicNames, tmp_path: Path) -> None:
    total = 30_000
    path = write_file(tmp_path / "till.csv", (row(number) for number in range(1, total + 1)))
    variables = environment(
        kafka_bootstrap=kafka, purchases_topic=names.purchases, dead_letters_topic=names.dead_letters, metrics_port=0
    )
    arguments = [str(path), "--state", str(tmp_path), "--rate", "10000"]
    with running("services.producer", arguments, variables, tmp_path / "log") as producer:
        wait_until((tmp_path / "till.csv.json").exists, "a checkpoint is written")
        stop(producer, 128 + signal.SIGTERM)
    checkpoint = CheckpointFile(tmp_path, "till.csv").read()
    sent = read_topic(kafka, names.purchases)
    assert checkpoint is not None
    assert checkpoint.next_row - 1 == checkpoint.sent == len(sent) < total

    with running("services.producer", [*arguments[:-1], "max"], variables, tmp_path / "log") as producer:
        assert producer.wait() == 0
    ids = [json.loads(record.value or b"")["event_id"] for record in read_topic(kafka, names.purchases)]
    assert len(ids) == len(set(ids)) == total


# --- gateway ---


@pytest.fixture
def gateway(kafka: str, redis_url: str, names: TopicNames, tmp_path: Path) -> Iterator[tuple[Running, int]]:
    port, nobody = free_port(), "127.0.0.1:1"
    variables = environment(
        gateway_port=port,
        kafka_bootstrap=kafka,
        redis_url=redis_url,
        purchases_topic=names.purchases,
        recommender_address=nobody,
        s3_endpoint=f"http://{nobody}",
        s3_access_key="key",
        s3_secret_key="secret",
        probe_seconds=0.1,
    )
    with running("services.gateway", [], variables, tmp_path / "gateway.log") as service:
        wait_until(lambda: bool(readiness(port).get("ready")), "the gateway is ready")
        wait_until(
            lambda: httpx.post(f"{url(port)}/v1/events", json=json.loads(event("first")), timeout=60).is_success,
            "a post",
        )
        yield service, port


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


class Tills:
    """Threads that post events, one after the other, until they are refused; each event is theirs to answer for."""

    def __init__(self, port: int, count: int) -> None:
        self.accepted: list[str] = []
        self.posted: list[str] = []
        self._port = port
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(120)

    def _work(self, till: int) -> None:
        with httpx.Client(base_url=url(self._port), timeout=60) as client:
            for number in range(1, 100_000):
                event_id = f"till-{till}-{number}"
                self.posted.append(event_id)
                try:
                    answer = client.post("/v1/events", json=json.loads(event(event_id)))
                except httpx.HTTPError:
                    return
                if answer.status_code != 202:
                    return
                self.accepted.append(event_id)


def test_the_gateway_leaves_no_event_half_done(gateway: tuple[Running, int], kafka: str, names: TopicNames) -> None:
    service, port = gateway
    tills = Tills(port, 8)
    tills.start()
    wait_until(lambda: len(tills.accepted) > 100, "events are accepted")
    with httpx.stream("GET", f"{url(port)}/v1/stats/stream", timeout=60) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line == "event: snapshot")
        stop(service)
        rest = list(lines)
    tills.join()
    assert rest[rest.index("event: end") + 1] == 'data: {"reason":"the gateway stops"}'
    assert len(tills.accepted) < len(tills.posted), "it was stopped in the middle"
    written = {json.loads(record.value or b"")["event_id"] for record in read_topic(kafka, names.purchases)}
    assert written - {"first"} == set(tills.accepted)
    assert "Traceback" not in service.output


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_gateway_answers_a_request_that_it_has_begun(
    gateway: tuple[Running, int], kafka: str, names: TopicNames
) -> None:
    service, port = gateway
    body = event("slow-till")
    head = (
        "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as till:
        till.sendall(head.encode() + body[:20])
        time.sleep(0.2)  # the request is under way
        service.signal(signal.SIGTERM)
        wait_until(lambda: refuses(port), "no new connection is taken", timeout_s=4)
        till.sendall(body[20:])
        assert till.recv(100).startswith(b"HTTP/1.1 202 ")
    assert service.wait(GRACE_S) == 0
    written = [json.loads(record.value or b"")["event_id"] for record in read_topic(kafka, names.purchases)]
    assert sorted(written) == ["first", "slow-till"]


# --- recommender ---


def test_the_recommender_ends_the_calls_under_way(s3: S3Settings, tmp_path: Path) -> None:
    with closing(ObjectStore(s3)) as store:
        publish(store, checkerboard())
    port, metrics_port = free_port(), free_port()
    variables = s3_environment(s3) | environment(recommender_port=port, metrics_port=metrics_port, model_poll_s=0.1)
    with (
        running("services.recommender", [], variables, tmp_path / "log") as recommender,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        wait_until(lambda: bool(readiness(metrics_port).get("ready")), "a model is served")
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        stub = recommender_pb2_grpc.RecommenderStub(channel)
        request = pb.RecommendBatchRequest(user_ids=[f"u{number:02d}" for number in range(8)] * 2, k=3)
        stub.RecommendBatch(request)
        # No more than a busy machine answers within the recommender's grace of five seconds.
        calls: list[Any] = [stub.RecommendBatch.future(request) for _call in range(25)]
        calls[0].result(60)
        asked = time.monotonic()
        recommender.signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()  # an open watch is held until the grace is over
        codes = Counter(call.code() for call in calls)
        assert recommender.wait(GRACE_S) == 0, recommender.output
        print(f"stopped in {time.monotonic() - asked:.1f} s, {codes}")
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}, "answered, or never begun"
    assert codes[grpc.StatusCode.OK] > 1
    assert all(len(call.result().results) == 16 for call in calls if call.code() is grpc.StatusCode.OK)
