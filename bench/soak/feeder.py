"""An endless stream of purchases: one producer after another, each with its own source."""

import asyncio
import itertools
import sys
import time
from pathlib import Path

from bench.soak.shop import LINES_AN_ORDER
from local.layout import REPOSITORY
from local.process import Process, Program, spawn, stop_together
from local.producer_run import ProducerRun
from local.stack import PRODUCER, Stack
from local.steps import run_in_foreground

FILE_S = 300
_HISTORY_DAYS = 30
_POLL_S = 0.1


class Feeder:
    """Sends a file again and again, each time as other orders; or, without one, made-up files of five minutes each."""

    def __init__(self, stack: Stack, csv: Path | None, rate: int, history_rows: int) -> None:
        self._stack = stack
        self._csv = csv
        self._rate = rate
        self._history_rows = history_rows - history_rows % LINES_AN_ORDER
        self._file_rows = rate * FILE_S - rate * FILE_S % LINES_AN_ORDER
        self._producer: Process | None = None

    @property
    def pids(self) -> dict[str, int]:
        """The producer that runs now."""
        return {PRODUCER: self._producer.identity.pid} if self._producer and self._producer.alive else {}

    def load_history(self) -> None:
        """Send something to train a model from, at full speed."""
        if self._csv is not None:
            run = ProducerRun(self._csv, "max", "soak-history", f":{self._history_rows + 1}")
            run_in_foreground(self._stack, self._program(run))
            return
        span_s = _HISTORY_DAYS * 86_400
        file = self._file("history")
        rate = self._history_rows / span_s
        run_in_foreground(self._stack, self._shop(file, self._history_rows, 0, rate, time.time() - span_s))
        run_in_foreground(self._stack, self._program(ProducerRun(file, "max", "soak-history")))
        file.unlink()

    async def run(self) -> None:
        """Send until cancelled; the producer is then asked to stop. Raises ProcessDied where it fails."""
        following = await self._written(1, time.time())
        for number in itertools.count(1):
            next_since = time.time() + FILE_S
            file, making = following, asyncio.create_task(self._written(number + 1, next_since))
            try:
                await self._send(file, f"soak-{number}")
                following = await making
            finally:
                making.cancel()
                await asyncio.gather(making, return_exceptions=True)
            file.unlink()

    async def _send(self, file: Path, source: str) -> None:
        self._producer = producer = spawn(
            self._program(ProducerRun(file, str(self._rate), source)), die_with_parent=True
        )
        try:
            await _ended(producer)
        finally:
            await asyncio.to_thread(stop_together, [producer])
        if producer.exit_code:
            producer.require_alive()

    async def _written(self, number: int, since: float) -> Path:
        """The file number `number`, sold from `since` on; written by a process that rests most of its time."""
        file = self._file(str(number))
        first_row = self._history_rows + (number - 1) * self._file_rows
        writer = spawn(
            self._shop(file, self._file_rows, first_row, self._rate, since)
            if self._csv is None
            else self._copy(self._csv, file, number),
            die_with_parent=True,
        )
        try:
            await _ended(writer)
        finally:
            await asyncio.to_thread(stop_together, [writer])
        return file

    def _program(self, run: ProducerRun) -> Program:
        stack = self._stack
        return run.program(stack.settings, stack.layout, stack.environment, stack.layout.log("soak-producer"))

    def _shop(self, file: Path, rows: int, first_row: int, rate: float, since: float) -> Program:
        figures = {"--rows": rows, "--first-row": first_row, "--rate": rate, "--since": since}
        options = [part for name, value in figures.items() for part in (name, str(value))]
        argv = [sys.executable, "-m", "bench.soak.shop", str(file), *options]
        return Program("shop", argv, self._stack.layout.log("soak-shop"), REPOSITORY)

    def _copy(self, csv: Path, file: Path, number: int) -> Program:
        argv = [sys.executable, "-m", "bench.new_orders", str(csv), str(file), f"soak{number}"]
        return Program("copy", argv, self._stack.layout.log("soak-shop"), REPOSITORY)

    def _file(self, name: str) -> Path:
        return self._stack.layout.root / f"shop-{name}.csv"


async def _ended(process: Process) -> None:
    while process.alive:  # noqa: ASYNC110 (only polling shows that a child has ended)
        await asyncio.sleep(_POLL_S)
