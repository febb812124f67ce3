"""The telemetry port answers probes whatever else connects to it."""

import socket
from collections.abc import Iterator

import pytest

from services.common import telemetry
from services.common.telemetry import Health, TelemetryServer
from tests.support.http import status_of

PLACES = telemetry._TELEMETRY_CONNECTIONS


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(telemetry, "_TELEMETRY_PATIENCE_S", 0.3)
    with TelemetryServer("127.0.0.1", 0, Health("shop")) as server:
        yield server.port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def test_who_sends_nothing_is_cut_off(port: int) -> None:
    with connect(port) as silent:
        assert silent.recv(1) == b""


def test_many_silent_connections_keep_no_probe_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_TELEMETRY_PATIENCE_S", 600)
    with TelemetryServer("127.0.0.1", 0, Health("shop")) as server:
        silent = [connect(server.port) for _ in range(PLACES + 5)]
        assert status_of(f"http://127.0.0.1:{server.port}/healthz") == 200
        assert [each.recv(1) for each in silent[:5]] == [b""] * 5, "the oldest gave their places"
        for each in silent:
            each.close()
