"""The processes of a pod, seen from its node: connections from its own network, whatever programs its image has."""

import sys
from typing import Any

from local.cluster.components import CONTAINERD
from local.cluster.node import Node
from local.cluster.shop import Shop

_CONNECT = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""
_TIMEOUT_S = 1.5

Json = dict[str, Any]


class PodNetwork:
    """Connects as a pod would: in the network namespace of its container."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def connect(self, source: Json, address: str, port: int) -> str:
        """`connected`, else the kind of error. `source` is a running pod."""
        node = node_of(self._shop, source)
        enter = ("nsenter", "--target", container_pid(node, source), "--net", "--")
        python = (sys.executable, "-c", _CONNECT, address, str(port), str(_TIMEOUT_S))
        return node.call(*enter, *python).strip()


def node_of(shop: Shop, pod: Json) -> Node:
    """Where a pod runs."""
    return next(node for node in shop.cluster.nodes if node.address.name == pod["spec"]["nodeName"])


def container_pid(node: Node, pod: Json) -> str:
    """Pid, inside the node, of the pod's first container."""
    container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    ctr = (str(node.programs / "ctr"), "--address", CONTAINERD, "--namespace", "k8s.io")
    tasks = (line.split() for line in node.call(*ctr, "tasks", "list").splitlines())
    return next(words[1] for words in tasks if words[0] == container)
