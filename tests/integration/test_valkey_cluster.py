"""Valkey nodes become a cluster with replicas, and become one again after what happens to pods."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from redis.cluster import RedisCluster

from local.engines import ValkeyEngine
from local.ports import free_port
from local.process import Program
from services.provision.cluster_plan import Peer, parse_nodes
from services.provision.valkey_cluster import main
from tests.support.polling import wait_until

ZONES = ("a", "b", "c")


class Node(ValkeyEngine):
    """A member as in k8s/overlays/ha, on a port of the loopback instead of an address of its own."""

    def __init__(self, folder: Path, zone: str) -> None:
        super().__init__(folder, folder.with_suffix(".log"), free_port(), durable=True)
        self.zone = zone

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _program(self) -> Program:
        program = super()._program()
        options = {
            "cluster-enabled": "yes",
            "cluster-port": str(free_port()),
            "cluster-node-timeout": "1500",
            "availability-zone": self.zone,
        }
        return replace(
            program, argv=[*program.argv, *(word for name in options for word in (f"--{name}", options[name]))]
        )

    def peers(self) -> dict[str, Peer]:
        with redis.Redis(port=self.port, decode_responses=True) as client:
            return parse_nodes(str(client.execute_command("CLUSTER", "NODES")))

    def itself(self) -> Peer:
        return next(peer for peer in self.peers().values() if "myself" in peer.flags)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.stop()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    found = [Node(tmp_path / f"valkey-{number}", ZONES[number % 3]) for number in range(6)]
    with ExitStack() as stack:
        for node in found:
            stack.callback(node.stop)
            node.start()
        for node in found:
            node.wait_ready()
        yield found


def join(nodes: list[Node]) -> int:
    return main([*(node.place for node in nodes), "--within", "30"])


def client(nodes: list[Node]) -> RedisCluster:
    return RedisCluster.from_url(f"redis://{nodes[0].place}")


def write(nodes: list[Node]) -> None:
    with client(nodes) as cluster:
        for number in range(100):
            cluster.set(f"{{{number}}}", number)
        assert cluster.execute_command("WAIT", 1, 5000, target_nodes=RedisCluster.PRIMARIES)


def assert_all_is_there(nodes: list[Node]) -> None:
    with client(nodes) as cluster:
        assert [cluster.get(f"{{{number}}}") for number in range(100)] == [b"%d" % number for number in range(100)]


def assert_three_with_a_replica_each(nodes: list[Node]) -> None:
    own = [node.itself() for node in nodes]
    primaries = {peer.id for peer in own if peer.slots}
    assert len(primaries) == 3
    assert {peer.primary for peer in own if not peer.slots} == primaries
    assert all(node.peers().keys() == {peer.id for peer in own} for node in nodes)


def eventually(check: Callable[[], None]) -> None:
    def holds() -> bool:
        try:
            check()
        except AssertionError:
            return False
        return True

    wait_until(holds, "the cluster has its shape")


def test_nodes_join_once(nodes: list[Node], capsys: pytest.CaptureFixture[str]) -> None:
    assert join(nodes) == 0
    eventually(lambda: assert_three_with_a_replica_each(nodes))
    zones = {node.itself().id: node.zone for node in nodes}
    own = [node.itself() for node in nodes]
    assert {zones[peer.id] for peer in own if peer.slots} == set(ZONES)
    assert all(zones[peer.id] != zones[peer.primary] for peer in own if peer.primary)
    capsys.readouterr()
    assert join(nodes) == 0
    assert capsys.readouterr().out == "valkey-cluster: all slots are served\n"


def test_a_replica_takes_over_and_an_empty_node_copies_again(nodes: list[Node]) -> None:
    assert join(nodes) == 0
    eventually(lambda: assert_three_with_a_replica_each(nodes))
    write(nodes)
    lost = next(node for node in nodes if node.itself().slots)
    others = [node for node in nodes if node is not lost]
    lost.kill()
    wait_until(lambda: sum(node.itself().slots for node in others) == 3, "a replica has taken over")
    eventually(lambda: assert_all_is_there(others))

    assert main([*(node.place for node in nodes), "--within", "3"]) == 0  # without the lost one
    shutil.rmtree(lost.folder)
    lost.start()
    lost.wait_ready()
    assert join(nodes) == 0
    eventually(lambda: assert_three_with_a_replica_each(nodes))
    assert_all_is_there(nodes)


def test_all_come_back_with_new_addresses(nodes: list[Node]) -> None:
    assert join(nodes) == 0
    eventually(lambda: assert_three_with_a_replica_each(nodes))
    write(nodes)
    for node in nodes:
        node.stop()
    for node in nodes:
        node.port = free_port()
        node.start()
    for node in nodes:
        node.wait_ready()
    assert join(nodes) == 0
    eventually(lambda: assert_three_with_a_replica_each(nodes))
    assert_all_is_there(nodes)


def test_without_all_nodes_nothing_is_begun(nodes: list[Node], capsys: pytest.CaptureFixture[str]) -> None:
    nodes[5].kill()
    assert main([*(node.place for node in nodes), "--within", "3"]) == 1
    assert "does not answer" in capsys.readouterr().out
    assert not any(node.itself().slots for node in nodes[:5])


def test_an_address_without_a_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["valkey"])
    assert "is not HOST:PORT" in capsys.readouterr().err
