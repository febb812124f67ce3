"""Base class of the engines."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from local.ports import require_free
from local.process import Process, Program, spawn, stop_together, tail

_POLL_S = 0.1


class NotReady(Exception):
    """An engine did not respond in time; the message ends with the last lines of its log."""


class Engine(ABC):
    """One engine: its data lives in `folder`, its output goes to `log`, it listens on `port` of the loopback.

    With `die_with_parent` it ends with this process.
    """

    name: str
    #: The TILLSTREAM_ variable that changes the port.
    setting: str

    def __init__(self, folder: Path, log: Path, port: int, *, die_with_parent: bool = True) -> None:
        self.folder = folder.absolute()
        self.log = log
        self.port = port
        self.process: Process | None = None
        self._die_with_parent = die_with_parent

    @property
    def ports(self) -> Mapping[str, int]:
        """What it listens on, by the setting that changes each."""
        return {self.setting: self.port}

    @property
    @abstractmethod
    def address(self) -> str:
        """What clients connect to."""

    @abstractmethod
    def _program(self) -> Program:
        """What to run. Prepares the folder."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether a client can work with it now."""

    def start(self) -> Process:
        """Start the process. Raises PortInUse, MissingPrerequisite."""
        for setting, port in self.ports.items():
            require_free(port, setting)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = spawn(self._program(), self._die_with_parent)
        return self.process

    def wait_ready(self, timeout_s: float = 120) -> None:
        """Return once clients can work with it. Raises ProcessDied at once if it ends, NotReady after the time."""
        if self.process is None:
            raise RuntimeError(f"{self.name} was not started")
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            self.process.require_alive()
            if time.monotonic() > deadline:
                raise NotReady(
                    f"{self.name} does not answer on {self.address} after {timeout_s:.0f} s; "
                    f"the end of {self.log}:\n{tail(self.log)}"
                )
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Stop the process, if one runs."""
        if self.process is not None:
            stop_together([self.process])
            self.process = None
            self.sweep()

    def sweep(self) -> None:  # noqa: B027  most leave nothing
        """Remove what a stopped engine leaves outside its folder."""
