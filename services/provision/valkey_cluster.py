"""`python -m services.provision.valkey_cluster HOST:PORT…`: joins Valkey nodes to a cluster, and joins them again.

It changes only what is missing, so it may run every minute. After a restart of all nodes at once, their addresses are
new and none finds another: it introduces them. A node that lost its volume comes back empty: it becomes a replica.

Exit status: 0 the cluster serves all slots, 1 it does not (yet), 2 wrong usage.
"""

import argparse
import socket
import sys
import time
from collections.abc import Mapping

import redis

from services.provision.cluster_plan import Copy, Forget, Meet, Member, Serve, Step, next_steps, parse_nodes

PROGRAM = "valkey-cluster"
_TIMEOUT_S = 3.0
_PAUSE_S = 0.5


class Node:
    """A node by its address, with the cluster's commands that are needed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._client = redis.Redis(
            self._host, self._port, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, decode_responses=True
        )

    def look(self) -> Member:
        """Who it is, and whom it knows. Raises RedisError."""
        node_id = str(self._ask("MYID"))
        zone = str(self._client.info("server").get("availability_zone", ""))
        return Member(node_id, zone, parse_nodes(str(self._ask("NODES"))))

    def serves(self) -> bool:
        """Whether all slots are served, as far as it knows."""
        return "cluster_state:ok" in str(self._ask("INFO"))

    def do(self, step: Step, nodes: "Mapping[str, Node]") -> None:
        """Carry out a step of this node. `nodes` go by id. Raises RedisError, OSError."""
        match step:
            case Meet(other=other):
                self._ask("MEET", *nodes[other].meeting_point())
            case Serve(first=first, last=last):
                self._ask("ADDSLOTSRANGE", first, last)
            case Copy(primary=primary):
                self._ask("REPLICATE", primary)
            case Forget(gone=gone):
                self._ask("FORGET", gone)

    def meeting_point(self) -> tuple[str, int, int]:
        """IP address, port and port of the cluster bus: a node is introduced by these. Raises RedisError, OSError."""
        bus = self.look().itself.address.partition("@")[2].partition(",")[0]
        return socket.gethostbyname(self._host), self._port, int(bus)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _ask(self, *words: str | int) -> object:
        return self._client.execute_command("CLUSTER", *words)  # type: ignore[no-untyped-call]


def main(arguments: list[str] | None = None) -> int:
    """Join the nodes; returns the exit status."""
    parser = argparse.ArgumentParser("python -m services.provision.valkey_cluster", description="Join Valkey nodes.")
    parser.add_argument("nodes", nargs="+", type=_address, metavar="HOST:PORT")
    parser.add_argument("--replicas", type=int, default=1, help="copies of each primary (default: 1)")
    parser.add_argument("--within", type=float, default=50.0, metavar="SECONDS", help="default: 50")
    options = parser.parse_args(arguments)
    nodes = [Node(address) for address in options.nodes]
    try:
        return _join(nodes, options.replicas, time.monotonic() + options.within)
    finally:
        for node in nodes:
            node.close()


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return text


def _join(nodes: list[Node], replicas: int, deadline: float) -> int:
    """Look and act until nothing is missing, or the time is over."""
    while True:
        try:
            left = _once(nodes, replicas)
        except (redis.RedisError, OSError) as error:
            left = f"{error!r}"
        if left is None:
            _say("all slots are served")
            return 0
        if time.monotonic() > deadline:
            _say(f"not in time: {left}")
            return 1
        time.sleep(_PAUSE_S)


def _once(nodes: list[Node], replicas: int) -> str | None:
    """One look at all nodes, and the next steps. Returns what is still missing; None if nothing is."""
    found = {}
    for node in nodes:
        try:
            found[node] = node.look()
        except (redis.RedisError, OSError) as error:
            _say(f"{node.address} does not answer: {error!r}")
    by_id = {member.id: node for node, member in found.items()}
    steps = next_steps(list(found.values()), replicas, complete=len(found) == len(nodes))
    for step in steps:
        by_id[step.member].do(step, by_id)
        _say(f"{by_id[step.member].address}: {step}")
    if steps:
        return f"{len(steps)} steps were taken"
    return None if found and all(node.serves() for node in found) else "the cluster does not serve all slots"


def _say(line: str) -> None:
    print(f"{PROGRAM}: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
