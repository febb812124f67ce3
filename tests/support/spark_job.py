"""The batch job run in this process. All runs of a worker share one JVM: it takes longer to start than a small job."""

import io
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass

import pytest

from spark.__main__ import main


@dataclass(frozen=True, slots=True)
class JobRun:
    """How a run ended: its exit status, and what it said on stderr."""

    returncode: int
    stderr: str


def run_here(
    arguments: list[str], environment: Mapping[str, str], command: Callable[[list[str]], int] = main
) -> JobRun:
    """`python -m spark` (or another command) with these arguments and, added to ours, these variables."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, _signals_kept(), redirect_stderr(said):
        for name, value in environment.items():
            patch.setenv(name, value)
        status = command(arguments)
    return JobRun(status, said.getvalue())


@contextmanager
def _signals_kept() -> Iterator[None]:
    """The job ends its process at once on these signals; the tests go on after it."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
