"""One log line per step of a run: its name, its duration, its result."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from services.common import tracing


class Step:
    """A running step."""

    def __init__(self) -> None:
        self.summary = ""

    def says(self, summary: str) -> None:
        """Set the result that the step's line shows."""
        self.summary = summary


class StepLog:
    """Writes the lines; on a terminal also while a step runs. The rest is for the report of the run.

    `seconds`: durations of the completed steps; `failed`: the step that failed; `records`: archived records by outcome,
    once they are counted.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.seconds: dict[str, float] = {}
        self.failed: str | None = None
        self.records: dict[str, int] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step, and log its line at its end."""
        if self._out.isatty():
            self._write(f"{name:<9}  ...\r")
        step, start = Step(), time.monotonic()
        try:
            with tracing.child(name):
                yield step
        except BaseException:
            self.failed = name
            self._write(f"{name:<9} {time.monotonic() - start:6.1f} s  failed\n")
            raise
        self.seconds[name] = round(time.monotonic() - start, 1)
        self._write(f"{name:<9} {self.seconds[name]:6.1f} s  {step.summary}\n")

    def line(self, text: str) -> None:
        """Write a separate line."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
