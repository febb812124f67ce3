"""The stack that is attacked: closed by API keys and a login, with everything in its own folder on loopback."""

import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from local.engines import ValkeyEngine
from local.layout import STATE, Layout
from local.ports import LOOPBACK
from local.settings import StackSettings, free_port_settings
from local.stack import Stack
from services.gateway.access.keys import ApiKey, new_key
from services.gateway.access.roles import Role
from tests.support.oidc_provider import Provider, login_settings, serving_provider

# Every address of 127.0.0.0/8 is this machine, so an attacker has another one than the honest client.
ATTACKER = "127.0.0.66"
PATIENCE_S = 30.0
EXPIRED = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shop:
    """What runs, and the keys that open it."""

    stack: Stack
    provider: Provider
    keys: dict[Role, str]
    expired_key: str

    @property
    def port(self) -> int:
        """The gateway's."""
        return self.stack.settings.gateway_port

    @property
    def page(self) -> str:
        """The gateway's address."""
        return self.stack.settings.page

    @property
    def valkey(self) -> ValkeyEngine:
        """The engine of the live tables."""
        return next(engine for engine in self.stack.engines if isinstance(engine, ValkeyEngine))

    def bearer(self, role: Role) -> dict[str, str]:
        """The header of a key."""
        return {"Authorization": f"Bearer {self.keys[role]}"}

    def log(self, service: str) -> str:
        """What a service has logged."""
        return self.stack.layout.log(service).read_text(errors="replace")


@contextmanager
def running_shop() -> Iterator[Shop]:
    """Start it; it is gone afterwards."""
    STATE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="attack-", dir=STATE) as name, serving_provider() as provider:
        folder = Path(name)
        made = {role: new_key(f"key of {role}", role) for role in Role}
        expired, entry = new_key("expired", Role.ADMIN)
        keys_file = folder / "keys.json"
        keys_file.write_bytes(_file_of([*(entry for _key, entry in made.values()), _ended(entry)]))
        ports = {name.removeprefix("TILLSTREAM_").lower(): port for name, port in free_port_settings().items()}
        settings = StackSettings.model_validate({**ports, "monitoring": False})
        given = {**login_settings(provider, settings.page), "api_keys_file": keys_file, "head_seconds": 2}
        preferences = {f"TILLSTREAM_{name.upper()}": str(value) for name, value in given.items()}
        stack = Stack(Layout(folder / "stack"), settings, die_with_parent=True, preferences=preferences)
        try:
            stack.start()
            yield Shop(stack, provider, {role: key for role, (key, _entry) in made.items()}, expired)
        finally:
            stack.stop()


def _ended(entry: ApiKey) -> ApiKey:
    return ApiKey(entry.name, entry.role, entry.sha256, EXPIRED)


def _file_of(entries: list[ApiKey]) -> bytes:
    return json.dumps({"keys": [msgspec.to_builtins(entry) for entry in entries]}).encode()


def connect(port: int, source: str = ATTACKER) -> socket.socket:
    """A connection of an attacker."""
    return socket.create_connection((LOOPBACK, port), timeout=PATIENCE_S, source_address=(source, 0))


def exchange(port: int, sent: bytes, source: str = ATTACKER) -> bytes:
    """All that comes back until the other end closes, or nothing more comes."""
    return ending(port, sent, source)[0]


def ending(port: int, sent: bytes, source: str = ATTACKER, patience_s: float = PATIENCE_S) -> tuple[bytes, bool]:
    """All that comes back, and whether the other end closed the connection: else it stayed silent."""
    received = b""
    with connect(port, source) as connection:
        connection.settimeout(patience_s)
        try:
            connection.sendall(sent)
            while chunk := connection.recv(65_536):
                received += chunk
        except TimeoutError:
            return received, False
        except OSError:  # reset: what came until then is the answer
            pass
    return received, True


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    """A request whose connection is closed afterwards."""
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def statuses(received: bytes) -> list[int]:
    """The statuses of all answers in what was received."""
    parts = received.split(b"HTTP/1.1 ")[1:]
    return [int(part[:3]) for part in parts if part[:3].isdigit()]
