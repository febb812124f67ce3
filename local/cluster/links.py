"""The network between nodes: a cable for each pair, with routes to the other's address and to its pods."""

from local.cluster.addresses import NodeAddress
from local.cluster.node import Node, NodeError


def connect(one: Node, other: Node) -> None:
    """A cable between two nodes that run. Raises NodeError."""
    cable = ("link", "add", _end(other.address), "type", "veth", "peer", "name", _end(one.address))
    _ip(one, *cable, "netns", str(other.init_pid))
    for here, there in ((one, other.address), (other, one.address)):
        device = _end(there)
        _ip(here, "link", "set", device, "up")
        _ip(here, "route", "add", f"{there.ip}/32", "dev", device, "src", here.address.ip)
        _ip(here, "route", "add", there.pods, "via", there.ip, "dev", device, "onlink", "src", here.address.ip)


def _end(towards: NodeAddress) -> str:
    return f"to-{towards.name}"


def _ip(node: Node, *arguments: str) -> None:
    answer = node.run("ip", *arguments)  # in its network alone: pids are the machine's
    if answer.returncode:
        raise NodeError(f"ip {' '.join(arguments)}: {answer.stderr.strip()}")
