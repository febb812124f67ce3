"""How a run shows that it moves: a bar with rate and ETA for a person, a log line every few seconds for a log."""

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

logger = logging.getLogger(__name__)

LINE_EVERY_S = 5.0


class ProgressBar:
    """Rows done out of `total` (None where unknown), shown on `stream`; `rate` receives the rows a second."""

    def __init__(
        self,
        label: str,
        total: int | None,
        done: int,
        stream: TextIO,
        rate: Callable[[float], None] = lambda _rate: None,
    ) -> None:
        self._label = label
        self._total = total
        self._done = self._done_then = done
        self._then = time.monotonic()
        self._rate = rate
        self._bar = (
            tqdm(desc=label, total=total, initial=done, unit=" rows", unit_scale=True, file=stream)
            if stream.isatty()
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rate(0.0)
        if self._bar is not None:
            self._bar.close()

    def advance(self, rows: int) -> None:
        """More rows are done."""
        self._done += rows
        if self._bar is not None:
            self._bar.update(rows)
        elapsed_s = time.monotonic() - self._then
        if elapsed_s >= LINE_EVERY_S:
            self._measure(elapsed_s)

    def _measure(self, elapsed_s: float) -> None:
        rate = (self._done - self._done_then) / elapsed_s
        self._rate(rate)
        if self._bar is None:
            self._log(rate)
        self._done_then, self._then = self._done, time.monotonic()

    def _log(self, rate: float) -> None:
        if self._total and rate:
            of, left = f" of {self._total:,}", f", {(self._total - self._done) / rate:,.0f} s left"
        else:
            of, left = "", ""
        logger.info("%s: %s%s rows, %s a second%s", self._label, f"{self._done:,}", of, f"{rate:,.0f}", left)
