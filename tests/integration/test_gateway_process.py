"""The gateway as a process: the live stream over a real socket, start and stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from local.ports import free_port
from services.gateway.api.schemas.figures import StreamSnapshot, TickerEntry
from tests.support.gateway_app import AWAY
from tests.support.gateway_tables import PHONE, SHOP, TableWriter, ticker_line
from tests.support.http import NO_TLS, status_of
from tests.support.polling import wait_until

ROOT = Path(__file__).parents[2]


def environment(**settings: str | int) -> dict[str, str]:
    given = {f"TILLSTREAM_{name.upper()}": str(value) for name, value in settings.items()}
    away = {
        "TILLSTREAM_KAFKA_BOOTSTRAP": AWAY,
        "TILLSTREAM_RECOMMENDER_ADDRESS": AWAY,
        "TILLSTREAM_S3_ENDPOINT": f"http://{AWAY}",
        "TILLSTREAM_S3_ACCESS_KEY": "key",
        "TILLSTREAM_S3_SECRET_KEY": "secret",
    }
    return {**os.environ, **away, **given}


@contextmanager
def running(log: Path, **settings: str | int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    command = [sys.executable, "-m", "services.gateway"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(gateway_port=port, **settings), stderr=stderr, stdout=stderr
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_ready(process, url, log)
        yield process, url
    finally:
        process.kill()
        process.wait()


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        return status_of(f"{url}/readyz") == 200

    wait_until(ready, "the gateway is ready")


@pytest.fixture
def writer(redis_url: str) -> Iterator[TableWriter]:
    writer = TableWriter(redis_url)
    yield writer
    writer.close()


@pytest.fixture(scope="module")
def url(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway that several tests share; each begins with empty tables."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()  # other tests may have left another generation live
    log = tmp_path_factory.mktemp("gateway") / "log"
    with running(log, redis_url=valkey, refresh_seconds="0.2") as (_process, url):
        yield url


Event = tuple[str, str, Any]


def events(response: httpx.Response) -> Iterator[Event]:
    """(id, event, data) as they come."""
    place = event = ""
    for line in response.iter_lines():
        name, _colon, value = line.partition(": ")
        if name == "id":
            place = value
        elif name == "event":
            event = value
        elif name == "data":
            yield place, event, json.loads(value)


@contextmanager
def stream(url: str, **headers: str) -> Iterator[Iterator[Event]]:
    with httpx.stream("GET", f"{url}/v1/stats/stream", headers=headers, timeout=60) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response)


def next_of(kind: str, source: Iterator[Event]) -> Event:
    return next(event for event in source if event[1] == kind)


def snapshot_with(events: int, source: Iterator[Event]) -> StreamSnapshot:
    """The first snapshot that counts so many events."""
    snapshots = (StreamSnapshot.model_validate(data) for _id, event, data in source if event == "snapshot")
    return next(snapshot for snapshot in snapshots if snapshot.summary.events == events)


def test_snapshots_and_arrivals_as_they_come(url: str, writer: TableWriter) -> None:
    with stream(url) as source:
        snapshot_with(0, source)
        writer.write(SHOP)
        arrivals = [next_of("ticker", source) for _line in SHOP]
        entries = [TickerEntry.model_validate(data) for _id, _event, data in arrivals]
        assert [(entry.order_id, entry.revenue) for entry in entries] == [
            (line.order_id, f"{line.revenue / 100:.2f}") for line in SHOP
        ]
        assert [entry.id for entry in entries] == [place for place, _event, _data in arrivals]
        assert entries[2].user_id is None
        snapshot = snapshot_with(5, source)
        assert snapshot.summary.revenue == "266.99"
        assert snapshot.top["products"][0].name == "Galaxy"


def test_a_client_that_comes_back_gets_what_it_missed(url: str, writer: TableWriter) -> None:
    writer.write([PHONE])
    with stream(url) as source:
        next_of("snapshot", source)
        writer.write([replace(PHONE, order_id="seen")])
        # The first purchase may come as an arrival too, where the snapshot was older.
        seen = next(number for number, kind, data in source if kind == "ticker" and data["order_id"] == "seen")
    writer.write(replace(PHONE, order_id=f"missed-{number}") for number in range(3))
    wait_until(lambda: missed_since(url, seen) == [f"missed-{number}" for number in range(3)], "what was missed")
    with stream(url, **{"Last-Event-ID": seen}) as source:
        assert len(next_of("snapshot", source)[2]["ticker"]) == 3
        assert next_of("snapshot", source)[2]["ticker"] == []
    with httpx.stream("GET", f"{url}/v1/stats/stream?last_event_id={seen}", timeout=60) as response:
        assert len(next_of("snapshot", events(response))[2]["ticker"]) == 3
    _burst(writer, 1)
    _burst(writer, 2)
    wait_until(lambda: missed_since(url, seen) == [f"2/{line}" for line in range(200)], "the newest 200")


def missed_since(url: str, seen: str) -> list[str]:
    """The orders of the arrivals that the first snapshot brings to a client that comes back."""
    with stream(url, **{"Last-Event-ID": seen}) as source:
        return [entry["order_id"] for entry in next_of("snapshot", source)[2]["ticker"]]


def test_a_new_client_sees_the_newest_arrivals_at_once_even_after_a_restart(
    redis_url: str, writer: TableWriter, tmp_path: Path
) -> None:
    writer.write(replace(PHONE, order_id=f"o-{number}") for number in range(30))
    with running(tmp_path / "log", redis_url=redis_url) as (_process, url), stream(url) as source:
        shown = next_of("snapshot", source)[2]["ticker"]
        assert [entry["order_id"] for entry in shown] == [f"o-{number}" for number in range(10, 30)]


def test_a_client_that_does_not_read_is_dropped_and_the_others_are_served(
    redis_url: str, writer: TableWriter, tmp_path: Path
) -> None:
    settings: dict[str, str | int] = {"redis_url": redis_url, "stream_queue": 8, "ticker_lines": 200}
    with (
        running(tmp_path / "log", **settings) as (_process, url),
        _client_that_does_not_read(url),
        stream(url) as source,
    ):
        arrivals: list[str] = []
        reader = threading.Thread(target=_follow, args=(source, arrivals), daemon=True)
        reader.start()
        for burst in range(100):
            _burst(writer, burst)
            if _dropped(url):
                break
        assert _dropped(url) == 1
        assert _clients(url) == 1
        _burst(writer, 1_000)
        reader.join(timeout=120)
        assert arrivals[-1] == "last"


def test_little_waits_below_the_queue_of_a_client_that_does_not_read(
    redis_url: str, writer: TableWriter, tmp_path: Path
) -> None:
    writer.write(SHOP)
    settings: dict[str, str | int] = {
        "redis_url": redis_url, "stream_queue": 100_000, "stream_patience_seconds": "0.2", "refresh_seconds": "0.02",
    }  # fmt: skip
    with running(tmp_path / "log", **settings) as (_process, url), _client_that_does_not_read(url):
        sent = 0
        with httpx.stream("GET", f"{url}/v1/stats/stream", timeout=60) as reader:
            for number, chunk in enumerate(reader.iter_bytes()):
                sent += len(chunk)
                if sent > 512 * 1024 or (number % 20 == 0 and _dropped(url)):
                    break
        assert _dropped(url) == 1
        assert sent < 96 * 1024


@contextmanager
def _client_that_does_not_read(url: str) -> Iterator[None]:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        slow.sendall(b"GET /v1/stats/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield


def _burst(writer: TableWriter, number: int) -> None:
    """200 arrivals of a kilobyte each; those of burst 1,000 end with one named `last`."""
    lines = [replace(PHONE, name="x" * 900, order_id=f"{number}/{line}") for line in range(200)]
    lines[-1] = replace(lines[-1], order_id="last" if number == 1_000 else lines[-1].order_id)
    with writer.redis.pipeline(transaction=False) as pipe:
        for line in lines:
            pipe.xadd(writer.keys[0]("ticker"), {"line": ticker_line(line, 0)}, maxlen=200, approximate=False)
        pipe.execute()
    time.sleep(0.15)


def _follow(source: Iterator[Event], arrivals: list[str]) -> None:
    for _place, event, data in source:
        if event == "ticker":
            arrivals.append(data["order_id"])
            if arrivals[-1] == "last":
                return


def _dropped(url: str) -> int:
    return _metric(url, 'tillstream_gateway_stream_dropped_total{reason="slow"}')


def _clients(url: str) -> int:
    return _metric(url, "tillstream_gateway_stream_clients")


def _metric(url: str, name: str) -> int:
    lines = httpx.get(f"{url}/metrics", verify=NO_TLS, timeout=60).text.splitlines()
    return next((int(float(line.split()[-1])) for line in lines if line.startswith(f"{name} ")), 0)


def test_clients_that_leave_are_forgotten(url: str) -> None:
    with stream(url) as source:
        next_of("snapshot", source)
        assert _clients(url) == 1
    wait_until(lambda: _clients(url) == 0, "the client is forgotten")


def test_stop_with_open_streams(redis_url: str, tmp_path: Path) -> None:
    with running(tmp_path / "log", redis_url=redis_url) as (process, url), stream(url) as source:
        next_of("snapshot", source)
        process.send_signal(signal.SIGTERM)
        assert next_of("end", source)[2] == {"reason": "the gateway stops"}
        assert process.wait(timeout=60) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_without_redis_the_stream_says_that_figures_are_stale(tmp_path: Path) -> None:
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"],
            cwd=ROOT,
            env=environment(gateway_port=port, redis_url=f"redis://{AWAY}/0", refresh_seconds="0.2"),
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: status_of(f"{url}/healthz") is not None, "the gateway answers")
        with stream(url) as source:
            assert next(source)[1] == "stale"
    finally:
        process.kill()
        process.wait()


def refused(**settings: str | int) -> str:
    command = [sys.executable, "-m", "services.gateway"]
    result = subprocess.run(
        command, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith('{"time"')]  # but for the log
    return line


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(gateway_port=port)
    assert str(port) in line
    assert "TILLSTREAM_GATEWAY_PORT" in line


def test_settings_that_cannot_be_are_named() -> None:
    line = refused(gateway_port=0, time_zone="Mars/Olympus")
    assert "TILLSTREAM_GATEWAY_PORT" in line
    assert "TILLSTREAM_TIME_ZONE" in line
