"""Valkey in cluster mode, one node that holds every slot."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import redis

from local.engines import ValkeyEngine
from local.ports import free_port
from local.process import Program
from tests.support.engines import running
from tests.support.polling import wait_until


class _ClusterEngine(ValkeyEngine):
    def _program(self) -> Program:
        program = super()._program()
        # The bus would else take the port 10,000 above, whoever has it.
        bus = ("--cluster-port", str(free_port()))
        return replace(program, argv=[*program.argv, "--cluster-enabled", "yes", *bus])


@contextmanager
def valkey_cluster(folder: Path) -> Iterator[str]:
    """A running cluster; gives its URL."""
    with running(_ClusterEngine(folder / "data", folder / "log", free_port(), durable=False)) as engine:
        with redis.Redis.from_url(engine.address) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            _wait_until_ok(client)
        yield engine.address


def _wait_until_ok(client: "redis.Redis") -> None:
    def is_ok() -> bool:
        return b"cluster_state:ok" in bytes(client.execute_command("CLUSTER", "INFO"))  # type: ignore[no-untyped-call]

    wait_until(is_ok, "the cluster comes up", pause_s=0.1)
