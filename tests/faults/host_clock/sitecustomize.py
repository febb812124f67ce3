"""The clock of a host that is wrong, for a service that has this folder in PYTHONPATH.

The wall clock is off by as many seconds as the file FAULTS_CLOCK says, which may change while the service runs. The
services ask `time.time` and `time.time_ns` alone for it.
"""

import os
import time
from pathlib import Path

_LOOKED_AT_EVERY_NS = 50_000_000


class _HostClock:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._right_ns = time.time_ns
        self._off_ns = 0
        self._look_at_ns = 0

    def time_ns(self) -> int:
        if time.monotonic_ns() >= self._look_at_ns:
            self._look_at_ns = time.monotonic_ns() + _LOOKED_AT_EVERY_NS
            self._off_ns = int(float(self._file.read_text() or 0) * 1e9)
        return self._right_ns() + self._off_ns

    def time(self) -> float:
        return self.time_ns() / 1e9


if "FAULTS_CLOCK" in os.environ:
    clock = _HostClock(Path(os.environ["FAULTS_CLOCK"]))
    time.time_ns, time.time = clock.time_ns, clock.time
