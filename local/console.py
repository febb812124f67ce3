"""Progress output of the commands: one line per step, with the time since the start."""

import sys
import time

_STARTED = time.monotonic()


def say(text: str) -> None:
    """One line of progress."""
    print(f"[{time.monotonic() - _STARTED:6.1f} s] {text}", file=sys.stderr, flush=True)


class Ticker:
    """Progress of a wait: a line when the text changes, at most every few seconds."""

    def __init__(self, every_s: float = 5) -> None:
        self._every_s = every_s
        self._said_at = time.monotonic()
        self._said = ""

    def __call__(self, text: str) -> None:
        """Print the text if it is new and the last line is old enough."""
        if text != self._said and time.monotonic() - self._said_at >= self._every_s:
            self._said, self._said_at = text, time.monotonic()
            say(f"  {text}")
