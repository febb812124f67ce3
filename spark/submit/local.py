"""This machine: `python -m spark` as a child process, whose output is the progress."""

import fcntl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from spark.submit.packing import REPOSITORY
from spark.submit.runs import RunStatus, Started, SubmitError


class Local:
    """One run at a time; what runs is ended with this process's terminal."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], scratch: Path) -> None:
        self._arguments = arguments
        self._environment = environment
        self._lock = scratch.with_name(f"{scratch.name}.lock")
        self._held: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, name: str) -> Started:
        """See Platform."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        self._held = self._lock.open("w")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SubmitError(f"a run of the job is in progress on this machine ({self._lock} is locked)") from error
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        command = ["env", *variables, sys.executable, "-m", "spark", *self._arguments]
        # The child holds the lock, too: it may outlive this process.
        self._process = subprocess.Popen(command, cwd=REPOSITORY, pass_fds=(self._held.fileno(),))
        return Started(str(self._process.pid))

    def status(self, run: str) -> RunStatus:
        """See Platform."""
        process = self._own(run)
        status = process.poll()
        if status is None:
            return RunStatus("running")
        if status in (-2, -15, 130, 143):
            return RunStatus("stopped", "cancelled")
        return RunStatus(f"exit status {status}", "failed" if status else "succeeded")

    def cancel(self, run: str) -> None:
        """See Platform."""
        self._own(run).terminate()

    def log(self, run: str) -> str:
        """See Platform."""
        return "this terminal"

    def _own(self, run: str) -> "subprocess.Popen[bytes]":
        if self._process is None or str(self._process.pid) != run:
            raise SubmitError("a run on this machine can only be followed where it was started")
        return self._process
