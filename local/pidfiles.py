"""Pid files of detached processes: a later command finds them by these."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from local.process import Identity, Process


@dataclass(frozen=True, slots=True)
class PidFile:
    """One process that was started, and where it listens."""

    name: str
    pid: int
    born: str
    log: str
    grace_s: float
    address: str

    def process(self) -> Process:
        """The process, which may have ended since."""
        return Process(self.name, Identity(self.pid, self.born), Path(self.log), self.grace_s)


class PidFiles:
    """The pid files of one stack, by process name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, process: Process, address: str) -> None:
        """Write the pid file of a process; it replaces an earlier one of the same name."""
        identity = process.identity
        entry = PidFile(process.name, identity.pid, identity.born, str(process.log), process.grace_s, address)
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._path(process.name).with_suffix(".part")
        partial.write_text(json.dumps(asdict(entry), indent=1))
        partial.replace(self._path(process.name))

    def read(self, name: str) -> PidFile | None:
        """The pid file of a process; None if none was started, or it was stopped on purpose."""
        try:
            return PidFile(**json.loads(self._path(name).read_text()))
        except FileNotFoundError:
            return None

    def forget(self, name: str) -> None:
        """Delete the pid file: the process was stopped on purpose."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
