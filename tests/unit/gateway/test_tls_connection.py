"""What a connection by TLS takes of the process, before it is HTTP."""

import asyncio
import resource
import ssl
from pathlib import Path
from typing import Any

import pytest

from services.gateway.__main__ import _max_connections
from services.gateway.api.fair_share import FairShare
from services.gateway.api.tls_connection import TlsConnection
from services.gateway.settings import GatewaySettings
from tests.support.certificates import Authority


async def test_its_buffer_is_small() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    connection: Any = TlsConnection(asyncio.Protocol(), context, 10.0, FairShare(1))
    connection._app_transport._closed = True  # nothing was opened
    assert len(connection._ssl_buffer) == 32 * 1024


def test_handshakes_and_connections_together_stay_below_the_limit_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _limit: (1_024, 1_128))
    monkeypatch.setattr(resource, "setrlimit", lambda _limit, _limits: None)
    files = Authority(tmp_path).issue("gateway")
    secure = GatewaySettings(gateway_cert_file=files.cert, gateway_key_file=files.key)
    assert [_max_connections(settings) for settings in (GatewaySettings(), secure)] == [1_000, 500]
