"""One compose project: up, what its containers are, down."""

import json
import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from local.compose.podman import podman_environment
from local.compose.stages import Stage, stages
from local.layout import REPOSITORY, STATE
from local.prerequisites import MissingPrerequisite

_FILE = REPOSITORY / "compose.yaml"
_PATIENCE_S = 600  # for a call, and for containers that run once
_POLL_S = 0.5


class ComposeFailed(Exception):
    """The compose program or a container ended with an error, or did not end; the messages before say why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine, its program that reads compose.yaml, and variables for it."""

    name: str
    compose: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def installed_engine() -> Engine:
    """Docker where its engine answers, else Podman with podman-compose. Raises MissingPrerequisite."""
    if shutil.which("docker") and not _run(["docker", "compose", "version"]) and not _run(["docker", "info"]):
        return Engine("docker", ("docker", "compose"))
    podman_compose = Path(sysconfig.get_path("scripts")) / "podman-compose"
    if shutil.which("podman") and podman_compose.exists():
        return Engine("podman", (str(podman_compose),), podman_environment(STATE / "compose"))
    raise MissingPrerequisite("no container engine: Docker with its compose plugin, or apt-get install podman")


@dataclass(frozen=True, slots=True)
class Project:
    """compose.yaml under a name, with its own volumes. `environment` has settings over those of .env."""

    engine: Engine
    name: str
    environment: Mapping[str, str]

    def up(self, services: Sequence[str] = ()) -> None:
        """Start services, all of no profile where none is named, and what they need. Raises ComposeFailed."""
        if self.engine.name == "docker":
            self._compose("up", "--detach", *services)
            return
        for stage in stages(described(), services):
            self._compose("up", "--detach", "--no-deps", *stage.services)
            self._wait_completed(stage)

    def down(self, *, with_data: bool) -> None:
        """Stop everything, and delete containers and network; `with_data` also the volumes. Raises ComposeFailed."""
        self._compose("down", *(["--volumes"] if with_data else []))

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

    def restart(self, service: str) -> dict[str, Any]:
        """Stop a container and start it; what the engine then knows of it."""
        self._ask("restart", self.containers()[service]["Id"])
        return self.containers()[service]

    def execute(self, container: str, command: Sequence[str]) -> str:
        """Run a command in a container; its output. Raises CalledProcessError."""
        return self._ask("exec", container, *command)

    def _wait_completed(self, stage: Stage) -> None:
        """Wait for containers that run once. One that fails is started again by the engine, until it succeeds."""
        deadline = time.monotonic() + _PATIENCE_S
        while waiting := [name for name in stage.once if not _succeeded(self.containers()[name])]:
            if time.monotonic() > deadline:
                logs = [self.logs(self.containers()[name]["Id"])[-2000:] for name in waiting]
                raise ComposeFailed("\n".join([f"not within {_PATIENCE_S} s: {', '.join(waiting)}", *logs]))
            time.sleep(_POLL_S)

    def _compose(self, *arguments: str) -> None:
        command = [*self.engine.compose, "--project-name", self.name, *arguments]
        environment = {**os.environ, **self.engine.environment, **self.environment}
        try:
            subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, timeout=_PATIENCE_S)
        except subprocess.CalledProcessError:
            raise ComposeFailed(f"`{' '.join(command)}` failed: see above") from None
        except subprocess.TimeoutExpired:
            raise ComposeFailed(f"`{' '.join(command)}` did not end within {_PATIENCE_S} s: see above") from None

    def _ask(self, *arguments: str) -> str:
        return subprocess.run([self.engine.name, *arguments], capture_output=True, text=True, check=True).stdout


def described() -> dict[str, dict[str, Any]]:
    """The services of compose.yaml, as they are written there."""
    services: dict[str, dict[str, Any]] = yaml.safe_load(_FILE.read_text())["services"]
    return services


def _succeeded(container: Mapping[str, Any]) -> bool:
    state = container["State"]
    return (state["Status"], state["ExitCode"]) == ("exited", 0)


def _run(command: list[str]) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
