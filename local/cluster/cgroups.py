"""The node's cgroups, one in each hierarchy of cgroup v1: `python -m local.cluster.cgroups NAME PROGRAM ARGUMENT...`.

They are the node's identity: every process in them is one of its own, whatever became of the command that started it.
As a program it moves itself into the cgroups of that name and becomes PROGRAM.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

V1_ROOT = Path("/sys/fs/cgroup")
_PATIENCE_S = 20
_POLL_S = 0.05
# The scheduler weighs a whole cgroup as one process by default (1024): a node would starve next to a build.
_CPU_SHARES = "4096"


def hierarchies() -> dict[str, str]:
    """Each mounted hierarchy by its folder's name, with the path of this process's cgroup in it."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        name = controllers.removeprefix("name=") or "unified"
        if (V1_ROOT / name).is_dir():
            found[name] = path
    return found


def join(name: str) -> None:
    """Make the cgroups below those of this process, and move it into them."""
    for hierarchy, path in hierarchies().items():
        folder = V1_ROOT / hierarchy / path.strip("/") / name
        folder.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):  # a new cpuset is empty and takes no process
            if (folder / file).exists():
                (folder / file).write_text((folder.parent / file).read_text())
        if (folder / "cpu.shares").exists():
            (folder / "cpu.shares").write_text(_CPU_SHARES)
        (folder / "cgroup.procs").write_text(str(os.getpid()))


def folders(name: str) -> list[Path]:
    """The folder of the cgroup in each hierarchy, wherever below its root; none if there is no such cgroup."""
    return [Path(path) for path, _, _ in os.walk(V1_ROOT) if Path(path).name == name]


def members(name: str) -> set[int]:
    """Pids of all processes in the cgroups, those of its containers included."""
    return {pid for folder in folders(name) for pid in _pids(folder)}


def _pids(folder: Path) -> Iterator[int]:
    for path, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):  # a container's cgroup may end meanwhile
            yield from map(int, (Path(path) / "cgroup.procs").read_text().split())


def end(name: str) -> None:
    """Kill every member, then remove the cgroups. Raises TimeoutError if one does not end."""
    deadline = time.monotonic() + _PATIENCE_S
    while pids := members(name):
        _in_time(deadline, f"processes {sorted(pids)} of the node do not end")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_S)
    for folder in folders(name):
        while folder.exists():
            _in_time(deadline, f"cgroup {folder} cannot be removed")
            _remove(folder)


def _remove(folder: Path) -> None:
    """The cgroup with those below it, as far as the kernel allows: a process counts for a moment after its end."""
    for path, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(path).rmdir()
    time.sleep(_POLL_S if folder.exists() else 0)


def _in_time(deadline: float, problem: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(problem)


if __name__ == "__main__":
    join(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
