"""A process and its descendants: CPU time and memory. Linux only."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_BETWEEN_SAMPLES_S = 0.5


@dataclass
class Peak:
    """The largest memory seen, bytes: proportional set sizes, where each shared page counts once."""

    bytes: int = 0


class Tree:
    """A process and all that descend from it."""

    def __init__(self, root: int) -> None:
        self._root = root

    def pids(self) -> list[int]:
        """The processes that run now, parents first."""
        children: dict[int, list[int]] = {}
        for pid, fields in _all():
            children.setdefault(int(fields[1]), []).append(pid)
        found = [self._root]
        for pid in found:
            found.extend(children.get(pid, ()))
        return found

    def cpu_seconds(self) -> float:
        """User and system time of the processes, and of those that they started and that have ended."""
        ours = set(self.pids())
        ticks = sum(sum(map(int, fields[11:15])) for pid, fields in _all() if pid in ours)
        return ticks / _TICKS_PER_SECOND

    def memory_bytes(self) -> int:
        """Proportional set size of all."""
        return sum(_pss_bytes(pid) for pid in self.pids())

    def running(self, word: str) -> list[int]:
        """The processes whose command line has the word."""
        return [pid for pid in self.pids() if word.encode() in _read(Path(f"/proc/{pid}/cmdline"))]

    @contextmanager
    def watched(self) -> Iterator[Peak]:
        """Sample the memory until the block ends."""
        peak, ended = Peak(), threading.Event()

        def sample() -> None:
            while not ended.wait(_BETWEEN_SAMPLES_S):
                peak.bytes = max(peak.bytes, self.memory_bytes())

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            yield peak
        finally:
            ended.set()
            sampler.join()


def _all() -> Iterator[tuple[int, list[str]]]:
    """Each process and the fields of its `stat` after the name: state, parent, …"""
    for folder in Path("/proc").glob("[0-9]*"):
        if stat := _read(folder / "stat"):
            yield int(folder.name), stat.decode(errors="replace").rpartition(")")[2].split()


def _pss_bytes(pid: int) -> int:
    lines = _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:")), 0)


def _read(path: Path) -> bytes:
    """What a file of /proc says; nothing where the process has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
