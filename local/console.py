"""What the commands tell the person in front of them: one line for each step, with the time since the start."""

import sys
import time

_STARTED = time.monotonic()


def say(text: str) -> None:
    """One line of progress."""
    print(f"[{time.monotonic() - _STARTED:6.1f} s] {text}", file=sys.stderr, flush=True)


class Ticker:
    """Progress of something that is waited for: a line when it changes, at most every few seconds."""

    def __init__(self, every_s: float = 5) -> None:
        self._every_s = every_s
        self._said_at = time.monotonic()
        self._said = ""

    def __call__(self, text: str) -> None:
        """Say it, if that is news and not too soon."""
        if text != self._said and time.monotonic() - self._said_at >= self._every_s:
            self._said, self._said_at = text, time.monotonic()
            say(f"  {text}")
