"""Processes: start, find again, watch, stop."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from local import parent_death

TAIL_LINES = 20
LOG_KEPT_BYTES = 20 * 1024 * 1024  # a longer log is rotated at the next start; one older log is kept
_POLL_S = 0.05
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ProcessDied(Exception):
    """A process died; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. Its output goes to `log`, or to ours if None; `environment` is added to ours."""

    name: str
    argv: Sequence[str]
    log: Path | None
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 15


@dataclass(frozen=True, slots=True)
class Identity:
    """Pid and start time: a pid alone may have been reused."""

    pid: int
    born: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return birth_of(self.pid) == self.born


class Process:
    """One running program. `child` is set if this process started it."""

    def __init__(
        self,
        name: str,
        identity: Identity,
        log: Path | None,
        grace_s: float,
        child: "subprocess.Popen[bytes] | None" = None,
    ) -> None:
        self.name = name
        self.identity = identity
        self.log = log
        self.grace_s = grace_s
        self._child = child

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None if self._child else self.identity.alive

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, and where another process started it."""
        return self._child.poll() if self._child else None

    def require_alive(self) -> None:
        """Raise ProcessDied if it has ended."""
        if not self.alive:
            end = f"; the end of {self.log}:\n{tail(self.log)}" if self.log else ""
            raise ProcessDied(f"{self.name} has ended{self._how()}{end}")

    def terminate(self) -> None:
        """Ask it to stop."""
        self._signal(signal.SIGTERM)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ends within the time."""
        deadline = time.monotonic() + timeout_s
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)
        self.wait(timeout_s=10)

    def sweep(self) -> None:
        """Kill the rest of its process group. Only call it right after it was alive: the group id may be reused."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.identity.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.identity.pid, number)

    def _how(self) -> str:
        code = self.exit_code
        if code is None:
            return ""
        return f" by {signal.Signals(-code).name}" if code < 0 else f" with exit code {code}"


def spawn(program: Program, die_with_parent: bool, keep_open: Sequence[int] = ()) -> Process:
    """Start a program in a process group of its own, its output appended to its log. It inherits `keep_open`.

    With `die_with_parent` it ends with the calling thread, and so with this process, however that ends. Otherwise it
    outlives this process, in a session of its own. Processes that end with this one stay in its session: Linux weighs
    sessions against each other before the processes in them (sched_autogroup). Where Redis has a session to itself, as
    below `make up`, it gets one share together with the child that writes its snapshot.
    """
    prefix = [sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())] if die_with_parent else []
    with _output(program.log) as (out, errors):
        child = subprocess.Popen(
            [*prefix, *program.argv],
            cwd=program.directory,
            env={**os.environ, **program.environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            process_group=0 if die_with_parent else None,
            start_new_session=not die_with_parent,
            pass_fds=keep_open,
        )
    identity = Identity(child.pid, birth_of(child.pid) or "")
    return Process(program.name, identity, program.log, program.grace_s, child)


@contextlib.contextmanager
def _output(log: Path | None) -> Iterator[tuple[IO[bytes] | None, int | None]]:
    if log is None:
        yield None, None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_name(f"{log.name}.old"))
    with log.open("ab") as file:
        yield file, subprocess.STDOUT


def stop_together(processes: Sequence[Process]) -> list[Process]:
    """Ask all to stop, wait for each one's grace, then kill. Returns those that had to be killed.

    A process with no grace is killed at once.
    """
    running = [process for process in processes if process.alive]
    for process in running:
        if process.grace_s:
            process.terminate()
    asked = time.monotonic()
    stubborn = [process for process in running if not process.wait(asked + process.grace_s - time.monotonic())]
    for process in stubborn:
        process.kill()
    for process in running:
        process.sweep()
    return stubborn


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(nothing was logged)"


def birth_of(pid: int) -> str | None:
    """When the process started, by the system's clock; None if it does not exist or is a zombie."""
    if sys.platform != "linux":
        return _birth_by_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the name, in parentheses, may hold anything
    return None if state in "ZX" else f"{rest[18]} ticks after {_BOOT_ID.read_text().strip()}"


def _birth_by_ps(pid: int) -> str | None:
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, born = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else born.strip()
