"""Ports on the loopback address."""

import itertools
import random
import socket
from collections.abc import Iterator

from services.common.telemetry import PortInUse

LOOPBACK = "127.0.0.1"
# Below the range from which Linux takes the ports of outgoing connections, so that none of those comes between.
_NAMED = range(20_000, 27_000)
_INNER = range(27_000, 32_000)


def is_free(port: int) -> bool:
    """Whether one could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def require_free(port: int, setting: str) -> None:
    """Raise PortInUse, which names the port and the setting that changes it."""
    if not is_free(port):
        raise PortInUse(LOOPBACK, port, setting)


def free_port() -> int:
    """A port that is free now, and that this process has not been given for long."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports that are free now, and that this process has not been given for long."""
    return list(itertools.islice(_named, count))


def inner_ports(count: int, own: int) -> list[int]:
    """Different ports on which the parts of one program find each other; never its `own`, on which it will listen.

    None of them is one of `free_port`, which may have been given away already and be listened on later.
    """
    return list(itertools.islice((port for port in _inner if port != own), count))


def _free_among(choice: range) -> Iterator[int]:
    """All that are free when it is their turn, in an order made by chance, over and over."""
    return filter(is_free, itertools.cycle(random.sample(choice, len(choice))))


_named, _inner = _free_among(_NAMED), _free_among(_INNER)


def take_share(index: int, count: int) -> None:
    """Give only every `count`-th port from now on, so that `count` processes are never given the same one."""
    global _named, _inner
    _named, _inner = _free_among(_NAMED[index::count]), _free_among(_INNER[index::count])
