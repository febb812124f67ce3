"""An attempt is held only where something was seen to be refused."""

import socket
import threading

import pytest

from bench.attack.http_attempts import visited
from bench.attack.key_attempts import slowed
from bench.attack.outcome import refused
from bench.attack.shop import ending
from local.ports import LOOPBACK


@pytest.mark.parametrize(
    ("found", "held"), [([400, 401], True), ([400, 200], False), ([], False)], ids=["refused", "one got in", "nothing"]
)
def test_no_answer_at_all_is_not_held(found: list[int], held: bool) -> None:
    assert refused(found, frozenset({400, 401})).held == held


@pytest.mark.parametrize(
    ("found", "held"),
    [
        ([401] * 10 + [429] * 20, True),
        ([401] * 11 + [429] * 19, False),
        ([200] * 30, False),
        ([429] * 30, False),
        ([401] * 30, False),
    ],
    ids=["slowed", "too late", "all got in", "none looked at", "never"],
)
def test_guesses_are_slowed(found: list[int], held: bool) -> None:
    assert slowed(found) == held


def test_a_silent_end_is_not_a_closed_one() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert ending(port, b"x", LOOPBACK, patience_s=0.05) == (b"", False)
        closing = threading.Thread(target=close_all, args=(server,))
        closing.start()
        assert ending(port, b"x", LOOPBACK) == (b"", True)
        closing.join()


def close_all(server: socket.socket) -> None:
    """The connection that was given up, and the next one."""
    for _connection in range(2):
        server.accept()[0].close()


def test_a_visit_is_seen() -> None:
    with socket.create_server((LOOPBACK, 0)) as trap:
        assert not visited(trap, 0.01)
        with socket.create_connection(trap.getsockname()):
            assert visited(trap, 60)
