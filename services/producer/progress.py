"""How a run shows that it moves: a bar with rate and ETA for a person, a log line every few seconds for a log."""

import logging
import time
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

log = logging.getLogger(__name__)

LINE_EVERY_S = 5.0


class Progress:
    """Rows done out of `total` (None where unknown), shown on `stream`."""

    def __init__(self, label: str, total: int | None, done: int, stream: TextIO) -> None:
        self._label = label
        self._total = total
        self._done = self._done_at_line = done
        self._line_at = time.monotonic()
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
        if self._bar is not None:
            self._bar.close()

    def advance(self, rows: int) -> None:
        """More rows are done."""
        self._done += rows
        if self._bar is not None:
            self._bar.update(rows)
        elif (elapsed := time.monotonic() - self._line_at) >= LINE_EVERY_S:
            self._line(elapsed)

    def _line(self, elapsed_s: float) -> None:
        rate = (self._done - self._done_at_line) / elapsed_s
        if self._total and rate:
            of, left = f" of {self._total:,}", f", {(self._total - self._done) / rate:,.0f} s left"
        else:
            of, left = "", ""
        log.info("%s: %s%s rows, %s a second%s", self._label, f"{self._done:,}", of, f"{rate:,.0f}", left)
        self._line_at = time.monotonic()
        self._done_at_line = self._done
