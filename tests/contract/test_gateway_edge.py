"""Attacks on the gateway's HTTP edge, over real sockets: one client must not take what others need."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.support.gateway_process import gateway_process

STREAMS, CONNECTIONS = 4, 40
HOG, OTHER = "127.0.0.1", "127.0.0.2"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
PATIENCE_S = 20.0
TOKEN = "a-token-for-the-edge"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    log = tmp_path_factory.mktemp("edge") / "log"
    limits: dict[str, str | float] = {
        "head_seconds": 1,
        "transfer_seconds": 1,
        "stream_clients": STREAMS,
        "max_connections": CONNECTIONS,
    }
    with gateway_process(log, admin_token=TOKEN, **limits) as port:
        yield port


def connect(port: int, source: str = HOG) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S, source_address=(source, 0))


def answer(connection: socket.socket) -> bytes:
    """All that comes until the gateway closes the connection."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def status(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


def asked(port: int, source: str = HOG) -> int:
    """The status of /healthz on a connection of its own."""
    with connect(port, source) as connection:
        connection.sendall(GET + b"Connection: close\r\n\r\n")
        return status(answer(connection))


def test_a_field_without_an_end_is_refused_at_the_limit(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(GET + b"X-Bomb: " + b"x" * 33_000)
        received = answer(connection)
    assert status(received) == 431
    assert b"application/problem+json" in received


def test_a_large_field_in_one_piece_is_refused(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(GET + b"X-Bomb: " + b"x" * 33_000 + b"\r\n\r\n")
        assert status(answer(connection)) == 431


def test_a_long_path_is_refused(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /" + b"x" * 33_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status(answer(connection)) == 431


def test_many_small_fields_are_refused(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(GET + b"a:b\r\n" * 120)
        assert status(answer(connection)) == 431


def test_fields_after_the_body_are_limited_too(port: int) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(port) as connection:
        connection.sendall(head + b"2\r\n{}\r\n0\r\nX-Bomb: " + b"x" * 33_000)
        assert status(answer(connection)) in (415, 431)


def test_megabytes_of_a_field_are_not_taken(port: int) -> None:
    bomb = GET + b"X-Bomb: " + b"x" * 48_000_000
    with connect(port) as connection, pytest.raises(OSError):  # noqa: PT011  reset, or a broken pipe
        connection.sendall(bomb)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", GET + b"X-Slow: ", b"\r\n"])
def test_a_head_that_never_ends_is_not_waited_for(port: int, sent: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        assert status(answer(connection)) == 408


def test_a_second_request_that_never_ends_is_not_waited_for(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(GET + b"\r\n")
        received = b""
        while b"alive" not in received:  # head and body may come apart
            received += (chunk := connection.recv(65_536))
            assert chunk, received
        connection.sendall(GET)
        assert status(answer(connection)) == 408


def test_a_body_that_never_ends_is_not_waited_for(port: int) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    with connect(port) as connection:
        connection.sendall(head + b"[")
        assert status(answer(connection)) == 408


def test_connections_are_shared_by_addresses(port: int) -> None:
    with ExitStack() as held:
        for _connection in range(CONNECTIONS + 20):
            held.enter_context(connect(port))
        assert asked(port, OTHER) == 200


def test_stream_places_are_shared_by_addresses_whatever_a_client_says_it_is(port: int) -> None:
    def opened(source: str, number: int) -> bytes:
        connection = held.enter_context(connect(port, source))
        forwarded = f"X-Forwarded-For: 10.0.0.{number}\r\n".encode()
        connection.sendall(b"GET /v1/stats/stream HTTP/1.1\r\nHost: localhost\r\n" + forwarded + b"\r\n")
        return connection.recv(12)

    with ExitStack() as held:
        assert {opened(HOG, number) for number in range(STREAMS)} == {b"HTTP/1.1 200"}
        assert opened(HOG, 99) == b"HTTP/1.1 503", "its share is all there is"
        assert [opened(OTHER, number) for number in range(2)] == [b"HTTP/1.1 200"] * 2
        assert opened(OTHER, 99) == b"HTTP/1.1 503", "half of them each"


def junk(count: int) -> bytes:
    return json.dumps({f"key{number}": number for number in range(count)}).encode()


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/models/v1/activate", junk(40_000), 413),
        ("/v1/models/v1/activate", junk(200), 422),
        ("/v1/recommendations", junk(50_000), 422),
        ("/v1/recommendations", junk(100_000), 413),
        ("/v1/recommendations", json.dumps({"user_ids": [1] * 100_000}).encode(), 422),
        ("/v1/recommendations", json.dumps({"user_ids": ["a"], "x" * 500_000: 1}).encode(), 422),
        ("/v1/recommendations", b"[" * 500_000, 400),
    ],
)
def test_junk_gets_a_short_answer(port: int, path: str, body: bytes, expected: int) -> None:
    found: Any = httpx.post(
        f"http://127.0.0.1:{port}{path}",
        content=body,
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"},
        timeout=PATIENCE_S,
    )
    assert found.status_code == expected, found.text[:200]
    assert len(found.content) < 4_000
