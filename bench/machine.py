"""The machine of a benchmark and its resource use: cores, memory, CPU seconds by process, and their table."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def machine() -> str:
    """Cores, processor and memory in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores {_processor()}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


class CpuMeter:
    """CPU seconds of processes since the meter was made, as of the last reading: it outlives the processes."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = {name: cpu_seconds(pid) or 0.0 for name, pid in pids.items()}
        self.seconds = dict.fromkeys(pids, 0.0)

    def read(self) -> None:
        """Read all that still run."""
        for name, pid in self._pids.items():
            now = cpu_seconds(pid)
            if now is not None:
                self.seconds[name] = now - self._before[name]


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process, all threads; None where it has ended. Linux only."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def cpu_table(meter: CpuMeter, seconds: float, events: int | None = None) -> str:
    """CPU seconds and cores by process over a time that was measured, the busiest first; with `events` CPU of each."""
    taken = sorted(meter.seconds.items(), key=lambda entry: -entry[1])
    taken.append(("all", sum(meter.seconds.values())))
    rows = [("process", "CPU s", "cores"), *((name, f"{used:.1f}", f"{used / seconds:.2f}") for name, used in taken)]
    if events:
        costs = ["µs an event", *(f"{used / events * 1e6:.1f}" for _, used in taken)]
        return table([(*row, cost) for row, cost in zip(rows, costs, strict=True)])
    return table(rows)
