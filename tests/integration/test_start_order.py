"""Services start before their engines, topics and bucket are there, wait with a reason, and need no restart."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from local.engines import KafkaEngine, S3Engine, ValkeyEngine
from local.ports import free_port
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.common.topics import PURCHASES
from tests.support.models import checkerboard, publish
from tests.support.polling import wait_until
from tests.support.producer import Running, archived_lines, readiness, running, send

SERVICES = ("aggregator", "archiver", "recommender", "gateway")


class Machine:
    """Engines that come and go on fixed ports, and the services, which are started once."""

    def __init__(self, folder: Path) -> None:
        self.kafka = KafkaEngine(folder / "kafka", folder / "kafka.log", free_port())
        self.redis = ValkeyEngine(folder / "redis", folder / "redis.log", free_port())
        self.s3 = S3Engine(folder / "s3", folder / "s3.log", free_port())
        self.s3.folder.mkdir()
        self._folder = folder
        self._stack = ExitStack()
        self._grpc_port = free_port()
        self._ports = {service: free_port() for service in SERVICES}
        self.services: dict[str, Running] = {}

    @property
    def bucket(self) -> S3Settings:
        return self.s3.settings()

    @property
    def variables(self) -> dict[str, str]:
        s3 = self.bucket
        assert isinstance(s3.s3_secret_key, SecretStr)
        ports = self._ports
        values = {
            "KAFKA_BOOTSTRAP": self.kafka.address,
            "KAFKA_METADATA_SECONDS": "1",
            "REDIS_URL": self.redis.address,
            "S3_ENDPOINT": str(s3.s3_endpoint),
            "S3_ACCESS_KEY": str(s3.s3_access_key),
            "S3_SECRET_KEY": s3.s3_secret_key.get_secret_value(),
            "AGGREGATOR_METRICS_PORT": str(ports["aggregator"]),
            "AGGREGATOR_SESSION_TIMEOUT_S": "6",
            "AGGREGATOR_SNAPSHOT_SECONDS": "0",
            "ARCHIVE_OBJECT_AGE_S": "1",
            "MODEL_POLL_S": "0.5",
            "RECOMMENDER_PORT": str(self._grpc_port),
            "RECOMMENDER_ADDRESS": f"127.0.0.1:{self._grpc_port}",
            "RECOMMENDER_DEADLINE_MS": "5000",
            "GATEWAY_PORT": str(ports["gateway"]),
        }
        return {f"TILLSTREAM_{name}": value for name, value in values.items()}

    def start_services(self) -> None:
        for service, port in self._ports.items():
            variables = self.variables | {"TILLSTREAM_METRICS_PORT": str(port)}
            started = running(f"services.{service}", [], variables, self._folder / f"{service}.log")
            self.services[service] = self._stack.enter_context(started)

    def provision(self) -> None:
        log = self._folder / "provision.log"
        with running("services.provision", [], self.variables, log) as command:
            assert command.wait() == 0, command.output

    def readiness(self, service: str) -> dict[str, Any]:
        return readiness(self._ports[service])

    def ready(self) -> bool:
        return all(self.readiness(service).get("ready") for service in SERVICES)

    def alive(self, service: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[service]}/healthz", timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def failing(self, service: str) -> dict[str, str]:
        checks = self.readiness(service).get("checks", {})
        return {name: check["detail"] for name, check in checks.items() if not check["ok"]}

    def shown(self) -> int | None:
        """The lines that the gateway counts; None while it has no figures."""
        try:
            url = f"http://127.0.0.1:{self._ports['gateway']}/v1/stats/summary"
            with urllib.request.urlopen(url, timeout=60) as answer:
                return int(json.load(answer)["events"])
        except urllib.error.HTTPError as error:
            error.close()
            return None

    def recommended(self, user_id: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._ports['gateway']}/v1/users/{user_id}/recommendations"
        with urllib.request.urlopen(url, timeout=60) as answer:
            body: dict[str, Any] = json.load(answer)
        return body

    def close(self) -> None:
        self._stack.close()
        for engine in (self.kafka, self.redis, self.s3):
            engine.stop()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


def events(start: int, count: int) -> Iterator[bytes]:
    for number in range(start, start + count):
        yield json.dumps(
            {
                "event_time": "2020-04-24T11:50:39Z",
                "order_id": f"order {number}",
                "product_id": "1515966223509089906",
                "price": "1.00",
            }
        ).encode()


def test_services_start_first_and_engines_come_in_any_order(machine: Machine) -> None:
    begun = time.monotonic()
    machine.start_services()
    for service in SERVICES:
        wait_until(partial(machine.alive, service), f"{service} is alive")
        print(f"{service}: /healthz after {time.monotonic() - begun:.1f} s")
    wait_until(lambda: "kafka" in machine.failing("aggregator"), "the aggregator says that it waits for Kafka")
    wait_until(lambda: "s3" in machine.failing("archiver"), "the archiver says that it waits for S3")
    assert "redis" in machine.failing("gateway")
    assert machine.failing("recommender")["model"]

    machine.redis.start()
    machine.redis.wait_ready()
    wait_until(lambda: machine.readiness("gateway")["ready"], "the gateway is ready: it needs Redis alone")
    machine.s3.start()
    machine.s3.wait_ready()
    wait_until(lambda: "provision" in machine.failing("archiver").get("s3", ""), "the archiver misses its bucket")
    machine.kafka.start()
    machine.kafka.wait_ready()
    wait_until(lambda: "provision" in machine.failing("aggregator").get("kafka", ""), "the aggregator misses topics")
    machine.provision()
    with closing(ObjectStore(machine.bucket)) as store:
        publish(store, checkerboard())
    wait_until(machine.ready, "all services are ready")

    send(machine.kafka.address, PURCHASES.name, events(0, 100))
    wait_until(lambda: machine.shown() == 100, "the figures have arrived")
    wait_until(lambda: len(archived_lines(machine.bucket)) == 100, "the archive has them too")
    for process in machine.services.values():
        assert process.process.poll() is None
        assert "Traceback" not in process.output


def test_a_redis_that_goes_away_leaves_the_gateway_in_service(machine: Machine) -> None:
    """A replica that left the Service for it would take the recommendations with it."""
    for engine in (machine.redis, machine.kafka, machine.s3):
        engine.start()
    for engine in (machine.redis, machine.kafka, machine.s3):
        engine.wait_ready()
    machine.provision()
    with closing(ObjectStore(machine.bucket)) as store:
        publish(store, checkerboard())
    machine.start_services()
    wait_until(machine.ready, "all services are ready")
    send(machine.kafka.address, PURCHASES.name, events(0, 50))
    wait_until(lambda: machine.shown() == 50, "the figures have arrived")

    machine.redis.stop()
    wait_until(lambda: "redis" in machine.failing("gateway"), "the gateway names Redis")
    wait_until(lambda: "tables" in machine.failing("aggregator"), "the aggregator is not ready")
    assert machine.readiness("gateway")["ready"] is True
    assert machine.shown() is None, "no figure is shown as if it were of now"
    assert machine.recommended("u00")["strategy"] == "personal"
    send(machine.kafka.address, PURCHASES.name, events(50, 50))
    machine.redis.start()
    machine.redis.wait_ready()
    wait_until(lambda: machine.shown() == 100, "the figures are right again")
    wait_until(machine.ready, "all services are ready again")
    machine.kafka.stop()
    wait_until(lambda: "kafka" in machine.failing("aggregator"), "the aggregator is not ready")
    wait_until(lambda: "kafka" in machine.failing("archiver"), "the archiver is not ready")
    assert all(machine.alive(service) for service in SERVICES), "an outage restarts nothing"
    machine.kafka.start()
    machine.kafka.wait_ready()
    send(machine.kafka.address, PURCHASES.name, events(100, 50))
    wait_until(lambda: machine.shown() == 150, "the figures are right again")
    wait_until(machine.ready, "all services are ready again")
