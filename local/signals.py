"""Stop signals of a command: the first raises Stopped, later ones are ignored."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A stop signal arrived. A KeyboardInterrupt, because event loops re-raise only that one."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP raise Stopped, once: the clean-up that follows is not interrupted."""
    before = {number: signal.signal(number, _stop) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    raise Stopped
