"""One compose project: up, what its containers are, down."""

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.layout import REPOSITORY
from local.prerequisites import MissingPrerequisite


class ComposeFailed(Exception):
    """The compose program ended with an error; its own messages say why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine, and its program that reads compose.yaml."""

    name: str
    compose: tuple[str, ...]


def installed_engine() -> Engine:
    """Docker where its engine answers, else Podman with podman-compose. Raises MissingPrerequisite."""
    if shutil.which("docker") and not _run(["docker", "compose", "version"]) and not _run(["docker", "info"]):
        return Engine("docker", ("docker", "compose"))
    podman_compose = Path(sysconfig.get_path("scripts")) / "podman-compose"
    if shutil.which("podman") and podman_compose.exists():
        return Engine("podman", (str(podman_compose),))
    raise MissingPrerequisite("no container engine: Docker with its compose plugin, or apt-get install podman")


@dataclass(frozen=True, slots=True)
class Project:
    """compose.yaml under a name of its own, with its own volumes. `environment` has its settings."""

    engine: Engine
    name: str
    environment: Mapping[str, str]

    def up(self, services: Sequence[str] = ()) -> None:
        """Start services, all of no profile where none is named, and what they need. Raises ComposeFailed."""
        self._compose("up", "--detach", *services)

    def down(self) -> None:
        """Stop everything, and delete containers, network and volumes. Raises ComposeFailed."""
        self._compose("down", "--volumes")

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of each container, by its service; those that have ended too."""
        label = f"label=com.docker.compose.project={self.name}"
        ids = self._ask("ps", "--all", "--quiet", "--filter", label).split()
        found = json.loads(self._ask("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def logs(self, container: str) -> str:
        """What the container wrote."""
        done = subprocess.run([self.engine.name, "logs", container], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def _compose(self, *arguments: str) -> None:
        command = [*self.engine.compose, "--project-name", self.name, *arguments]
        if subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **self.environment}, check=False).returncode:
            raise ComposeFailed(f"`{' '.join(command)}` failed: see above")

    def _ask(self, *arguments: str) -> str:
        return subprocess.run([self.engine.name, *arguments], capture_output=True, text=True, check=True).stdout


def _run(command: list[str]) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
