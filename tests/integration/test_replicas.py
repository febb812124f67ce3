"""Several replicas of a service: calls are spread, and a replica that ends or comes costs no answer."""

import asyncio
import re
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from local.ports import free_port
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.gateway.upstreams.recommender_client import Filters, RecommenderClient, RecommenderUnavailable
from tests.support.dns import dns_server
from tests.support.gateway_tables import PHONE, TableWriter
from tests.support.models import checkerboard, publish
from tests.support.polling import eventually
from tests.support.producer import Running, readiness, running

NOBODY = "127.0.0.1:1"
PER_SECOND = 100


class Replica:
    """A recommender as a process, started again at will."""

    def __init__(self, s3: S3Settings, folder: Path, port: int, host: str = "127.0.0.1", **settings: object) -> None:
        assert s3.s3_secret_key is not None
        self.address = f"{host}:{port}"
        self._metrics_port = free_port()
        values = {
            "HOST": host,
            "RECOMMENDER_PORT": port,
            "METRICS_PORT": self._metrics_port,
            "MODEL_POLL_S": 0.1,
            "RECOMMENDATIONS_SHARE": 0,
            "KAFKA_BOOTSTRAP": NOBODY,
            "S3_ENDPOINT": s3.s3_endpoint,
            "S3_BUCKET": s3.s3_bucket,
            "S3_ACCESS_KEY": s3.s3_access_key,
            "S3_SECRET_KEY": s3.s3_secret_key.get_secret_value(),
            **settings,
        }
        self._variables = {f"TILLSTREAM_{name}": str(value) for name, value in values.items()}
        self._log = folder / f"{host}-{port}.log"
        self._host = host
        self.process: Running | None = None

    def start(self) -> None:
        self.process = Running("services.recommender", [], self._variables, self._log)

    async def until_ready(self) -> None:
        await eventually(lambda: self._get("/readyz") is not None, f"{self.address} has a model")

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.signal(number)

    @property
    def answered(self) -> int:
        """The recommendations that it has given since its start."""
        metrics = self._get("/metrics") or ""
        found = re.search(r'request_seconds_count\{code="OK",method="Recommend"\} (\S+)', metrics)
        return int(float(found[1])) if found else 0

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://{self._host}:{self._metrics_port}{path}", timeout=60) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    def close(self) -> None:
        if self.process is not None:
            self.process.close()


class Requests:
    """Requests at a constant rate, each with the deadline of the page; what became of them."""

    def __init__(self, client: RecommenderClient) -> None:
        self._client = client
        self.outcomes: Counter[str] = Counter()
        self.errors: list[str] = []

    @asynccontextmanager
    async def coming(self) -> AsyncIterator[None]:
        flowing = asyncio.create_task(self._flow())
        yield
        flowing.cancel()
        await asyncio.gather(flowing, return_exceptions=True)

    async def _flow(self) -> None:
        due = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._ask())
                due += 1 / PER_SECOND
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _ask(self) -> None:
        try:
            await self._client.recommend("u00", 3, Filters())
        except RecommenderUnavailable as error:
            self.outcomes["failed"] += 1
            self.errors.append(str(error))
        else:
            self.outcomes["answered"] += 1


@pytest.fixture
def model(s3: S3Settings) -> S3Settings:
    with closing(ObjectStore(s3)) as store:
        publish(store, checkerboard())
    return s3


@asynccontextmanager
async def client_of(address: str) -> AsyncIterator[RecommenderClient]:
    # On a busy machine a page's 250 ms would measure the machine.
    client = RecommenderClient(address, deadline_ms=2_000, batch_deadline_ms=5_000)
    try:
        yield client
    finally:
        await client.close()


async def test_a_recommender_that_is_killed_or_stopped_fails_no_request(model: S3Settings, tmp_path: Path) -> None:
    replicas = [Replica(model, tmp_path, free_port(), DRAIN_SECONDS=0) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for replica in replicas:
            stack.callback(replica.close)
            replica.start()
        for replica in replicas:
            await replica.until_ready()
        client = await stack.enter_async_context(client_of(f"ipv4:{','.join(each.address for each in replicas)}"))
        requests = Requests(client)
        await client.recommend("u00", 3, Filters())
        async with requests.coming():
            await asyncio.sleep(1)
            shares = [replica.answered for replica in replicas]
            for number, replica in zip((signal.SIGKILL, signal.SIGTERM), replicas, strict=True):
                replica.send(number)
                await asyncio.sleep(1)
                replica.close()
                replica.start()
                await replica.until_ready()
                came_back = time.monotonic()
                await eventually(partial(has_its_share, replica), "it has its share again")
                print(f"{number!r}: has its share again after {time.monotonic() - came_back:.1f} s")
    assert min(shares) > sum(shares) / 4, f"spread over both: {shares}"
    assert requests.outcomes["failed"] == 0, requests.errors[:3]
    assert requests.outcomes["answered"] > 3 * PER_SECOND


async def test_replicas_are_found_by_name_wherever_they_are(model: S3Settings, tmp_path: Path) -> None:
    """One moves to another address, as a pod that is replaced; then a second one comes."""
    port = free_port()
    settings = {"RECOMMENDER_CONNECTION_SECONDS": 1}
    here, there = (Replica(model, tmp_path, port, host, **settings) for host in ("127.0.0.1", "127.0.0.2"))
    async with AsyncExitStack() as stack:
        for replica in (here, there):
            stack.callback(replica.close)
        dns = await stack.enter_async_context(dns_server("127.0.0.1"))
        client = await stack.enter_async_context(client_of(f"dns://127.0.0.1:{dns.port}/recommender.test:{port}"))
        here.start()
        await here.until_ready()
        await client.recommend("u00", 3, Filters())
        here.close()
        dns.addresses = ["127.0.0.2"]
        there.start()
        await there.until_ready()
        ready = time.monotonic()
        await eventually(
            lambda: answers(client), "the new address answers", timeout_s=25
        )  # of its own, gRPC asks the DNS again after 30 s
        print(f"found at its new address after {time.monotonic() - ready:.1f} s")
        here.start()
        await here.until_ready()
        dns.addresses = ["127.0.0.1", "127.0.0.2"]
        requests, added = Requests(client), time.monotonic()
        async with requests.coming():
            await eventually(partial(has_its_share, here), "the second replica has its share")
        print(f"a replica that was added has its share after {time.monotonic() - added:.1f} s")
        assert requests.outcomes["failed"] == 0, requests.errors[:3]


def has_its_share(replica: Replica) -> bool:
    return replica.answered > 20


async def answers(client: RecommenderClient) -> bool:
    try:
        await client.recommend("u00", 3, Filters())
    except RecommenderUnavailable:
        return False
    return True


# --- gateways ---


@contextmanager
def gateway(redis_url: str, folder: Path, **settings: object) -> Iterator[tuple[Running, str]]:
    port = free_port()
    values = {
        "GATEWAY_PORT": port,
        "REDIS_URL": redis_url,
        "KAFKA_BOOTSTRAP": NOBODY,
        "RECOMMENDER_ADDRESS": NOBODY,
        "S3_ENDPOINT": f"http://{NOBODY}",
        "S3_ACCESS_KEY": "key",
        "S3_SECRET_KEY": "secret",
        **settings,
    }
    variables = {f"TILLSTREAM_{name}": str(value) for name, value in values.items()}
    with running("services.gateway", [], variables, folder / f"gateway-{port}.log") as process:
        yield process, f"http://127.0.0.1:{port}"


async def until_ready(url: str) -> None:
    port = int(url.rpartition(":")[2])
    await eventually(lambda: readiness(port).get("ready"), f"{url} is ready")


async def read_until(url: str, last_event_id: str | None, order: str) -> tuple[list[str], str]:
    """The orders that a page gets from the stream until it has seen one of them, and the id of that event."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    seen: list[str] = []
    place = ""
    async with (
        httpx.AsyncClient(timeout=60) as http,
        http.stream("GET", f"{url}/v1/stats/stream", headers=headers) as response,
    ):
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            place = value if name == "id" else place
            seen += re.findall(r'"order_id":"([^"]+)"', value) if name == "data" else []
            if order in seen and name == "data":
                return seen, place
    raise AssertionError(f"the stream ended before {order}")


async def test_a_page_that_reconnects_to_another_gateway_misses_nothing(redis_url: str, tmp_path: Path) -> None:
    writer = TableWriter(redis_url)
    with closing(writer), gateway(redis_url, tmp_path) as (one, first), gateway(redis_url, tmp_path) as (_, second):
        for url in (first, second):
            await until_ready(url)
        writer.write([replace(PHONE, order_id="before")])
        _, place = await read_until(first, None, "before")
        one.signal(signal.SIGTERM)
        assert await asyncio.to_thread(one.wait, 60) == 0
        writer.write([replace(PHONE, order_id="missed"), replace(PHONE, order_id="missed too")])
        seen, _ = await read_until(second, place, "missed too")
        assert seen == ["missed", "missed too"]


async def test_a_gateway_that_stops_serves_until_requests_go_elsewhere(redis_url: str, tmp_path: Path) -> None:
    """It is not ready at once; it serves for the time of the setting, on connections that end with the response."""
    with gateway(redis_url, tmp_path, DRAIN_SECONDS=2) as (process, url):
        await until_ready(url)
        async with httpx.AsyncClient() as http, http.stream("GET", f"{url}/v1/stats/stream", timeout=60) as stream:
            lines = stream.aiter_lines()
            asked = time.monotonic()
            process.signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            ready = await http.get(f"{url}/readyz")
            assert (ready.status_code, ready.json()["draining"]) == (503, True)
            assert ready.headers["connection"] == "close"
            assert (await http.get(f"{url}/healthz")).status_code == 200
            assert (await http.get(f"{url}/v1/stats/summary")).status_code == 200
            rest = [line async for line in lines]
            ended = time.monotonic() - asked
        assert 'data: {"reason":"the gateway stops"}' in rest, "the page is told to reconnect"
        assert ended >= 1.9, "the stream lasts as long as it would come back here"
        assert await asyncio.to_thread(process.wait, 15) == 0
        print(f"stopped after {time.monotonic() - asked:.1f} s")
