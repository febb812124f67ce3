"""kubectl against the cluster, run in the node's network."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.cluster.layout import ClusterLayout
from local.cluster.node import Node, NodeError
from local.prerequisites import MissingPrerequisite

Json = dict[str, Any]
_POLL_S = 0.5


class KubectlError(Exception):
    """kubectl failed; the message is its own."""


class Kubectl:
    """Commands of kubectl with the administrator's rights."""

    def __init__(self, node: Node, layout: ClusterLayout) -> None:
        self._node = node
        self._base = [str(program()), f"--kubeconfig={layout.pki / 'admin.kubeconfig'}"]

    def argv(self, *arguments: str) -> list[str]:
        """The whole command line. Raises NodeError where no node runs."""
        return self._node.entering(*self._base, *arguments)

    def run(self, *arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run it to its end, with `text` as its input."""
        return subprocess.run(self.argv(*arguments), input=text, capture_output=True, text=True, check=False)

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        """Its output. Raises KubectlError."""
        answer = self.run(*arguments, text=text)
        if answer.returncode:
            raise KubectlError((answer.stderr or answer.stdout).strip())
        return answer.stdout

    def get(self, *arguments: str) -> Json:
        """`kubectl get ... -o json`. Raises KubectlError."""
        found: Json = json.loads(self("get", *arguments, "-o", "json"))
        return found

    def items(self, *arguments: str) -> list[Json]:
        """The items of a list. Raises KubectlError."""
        found: list[Json] = self.get(*arguments)["items"]
        return found


def program() -> Path:
    """kubectl, from this Python's environment or PATH. Raises MissingPrerequisite."""
    found = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if found is None:
        raise MissingPrerequisite("no kubectl: make setup installs it")
    return Path(found)


def wait(what: str, done: Callable[[], bool], seconds: float, poll_s: float = _POLL_S) -> float:
    """Wait until `done`; returns the seconds it took. Raises NodeError, which says what did not come true."""
    started = time.monotonic()
    while not done():
        if time.monotonic() - started > seconds:
            raise NodeError(f"{what}: not within {seconds:.0f} s")
        time.sleep(poll_s)
    return time.monotonic() - started
