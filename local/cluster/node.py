"""The node: its processes in namespaces of their own, seen from the machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

from local.cluster import cgroups
from local.cluster.init import NodeSpec
from local.cluster.layout import ClusterLayout
from local.layout import REPOSITORY
from local.process import Program, spawn, tail

_NAMESPACES = ("mount", "net", "pid", "uts", "ipc", "cgroup")
_PATIENCE_S = 30
_POLL_S = 0.05


class NodeError(Exception):
    """The node cannot do what was asked; the message says why."""


class Node:
    """Starts, enters and ends the node. Which processes are its own, its cgroup says."""

    def __init__(self, layout: ClusterLayout) -> None:
        self._layout = layout
        self.address = layout.address
        self._log = layout.logs / "node.log"
        self._found: int | None = None

    @property
    def programs(self) -> Path:
        """The folder of the node's own programs."""
        return self._layout.cache.bin

    @property
    def init_pid(self) -> int | None:
        """Pid, on this machine, of the node's process 1; None where no node runs."""
        if self._found is None or not _is_first(self._found):  # the search walks through all cgroups
            members = sorted(cgroups.members(self._layout.cgroup))
            self._found = next((pid for pid in members if _is_first(pid)), None)
        return self._found

    def start(self, spec: NodeSpec) -> None:
        """Start process 1, detached, and wait until mounts and network are made. Raises NodeError."""
        file = self._layout.config / "node.json"
        spec.dump(file)
        self._log.unlink(missing_ok=True)
        new = [f"--{namespace}" for namespace in _NAMESPACES]
        init = [sys.executable, "-m", "local.cluster.init", str(file)]
        apart = ["unshare", *new, "--fork", "--kill-child", "--propagation", "private", *init]
        argv = [sys.executable, "-m", "local.cluster.cgroups", self._layout.cgroup, *apart]
        process = spawn(Program("node", argv, self._log, REPOSITORY), die_with_parent=False)
        deadline = time.monotonic() + _PATIENCE_S
        while "prepared" not in tail(self._log):
            if not process.alive or time.monotonic() > deadline:
                raise NodeError(f"the node does not start; the end of {self._log}:\n{tail(self._log)}")
            time.sleep(_POLL_S)

    def entering(self, *argv: str, whole: bool = False) -> list[str]:
        """A command line that runs `argv` in the node's network, or in all its namespaces. Raises NodeError."""
        pid = self.init_pid
        if pid is None:
            raise NodeError("the cluster does not run: make cluster")
        return [*_nsenter(pid, whole), *argv]

    def run(self, *argv: str, whole: bool = False) -> "subprocess.CompletedProcess[str]":
        """Run a program in the node to its end; its output as text. Raises NodeError."""
        return subprocess.run(self.entering(*argv, whole=whole), capture_output=True, text=True, check=False)

    def call(self, *argv: str) -> str:
        """Output of a program run in all namespaces of the node. Raises NodeError if it fails."""
        answer = self.run(*argv, whole=True)
        if answer.returncode:
            raise NodeError(f"{Path(argv[0]).name} failed: {(answer.stderr or answer.stdout).strip()}")
        return answer.stdout

    def component_pid(self, name: str) -> int | None:
        """Pid, on this machine, of a component, by the name of its program."""
        children = (pid for pid in sorted(cgroups.members(self._layout.cgroup)) if _parent(pid) == self.init_pid)
        return next((pid for pid in children if _program(pid) == name), None)

    def stop(self) -> None:
        """End every process, with it mounts and network, and remove the cgroups. Raises TimeoutError."""
        cgroups.end(self._layout.cgroup)


def _nsenter(pid: int, whole: bool) -> list[str]:
    chosen = ["--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup"] if whole else ["--net"]
    return ["nsenter", "--target", str(pid), *chosen, "--"]


def _is_first(pid: int) -> bool:
    """Whether it is process 1 of a pid namespace directly below the machine's."""
    numbers = _status(pid, "NSpid").split()
    return len(numbers) == len(_status(os.getpid(), "NSpid").split()) + 1 and numbers[-1] == "1"


def _parent(pid: int) -> int:
    return int(_status(pid, "PPid") or 0)


def _program(pid: int) -> str:
    try:
        return Path(os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")[0]).name
    except OSError:
        return ""


def _status(pid: int, field: str) -> str:
    """A field of /proc/PID/status; empty where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")), "")
