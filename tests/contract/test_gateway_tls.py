"""The gateway speaks HTTPS where it has a certificate, with the same limits for a client that does not come to HTTP."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from tests.support.certificates import Authority
from tests.support.gateway_process import gateway_process

HANDSHAKE_S = 12.0  # a busy machine may take seconds for an honest one


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def port(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    files = authority.issue("gateway")
    log = tmp_path_factory.mktemp("gateway") / "log"
    given: dict[str, str | float] = {
        "gateway_cert_file": str(files.cert),
        "gateway_key_file": str(files.key),
        "head_seconds": HANDSHAKE_S,
    }
    with gateway_process(log, trust(authority), **given) as port:
        yield port


def trust(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca))


def shown(port: int, authority: Authority) -> bytes | None:
    """The certificate that the gateway shows now."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        trust(authority).wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        return secure.getpeercert(binary_form=True)


def test_requests_are_answered_by_https(port: int, authority: Authority) -> None:
    with httpx.Client(verify=trust(authority), base_url=f"https://127.0.0.1:{port}", timeout=60) as client:
        for _ in range(3):
            assert client.get("/healthz").status_code == 200
        posted = client.post("/v1/events", json=["x" * 300_000])
        assert posted.status_code == 422, "a body of several records of TLS"
        assert "max-age" in posted.headers["Strict-Transport-Security"]


def test_a_request_that_comes_with_the_handshake_s_end_is_answered(port: int, authority: Authority) -> None:
    """A client sends its last message of the handshake and the request in one packet."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trust(authority).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        tls.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        plain.sendall(outgoing.read())
        answer = b""
        while not answer:
            try:
                answer = tls.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(plain.recv(65536))
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_client_that_does_not_shake_hands_is_not_waited_for(port: int) -> None:
    plain, unfinished = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\x16\x03\x01\x02\x00"
    for sent, waited_s in ((plain, 0.0), (unfinished, HANDSHAKE_S)):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            started = time.monotonic()
            client.sendall(sent)
            with suppress(ConnectionResetError):
                while client.recv(65536):
                    pass
            assert time.monotonic() - started >= waited_s - 0.1


def test_a_renewed_certificate_is_shown_to_the_next_client(port: int, authority: Authority) -> None:
    before = shown(port, authority)
    authority.issue("gateway")
    assert shown(port, authority) != before
