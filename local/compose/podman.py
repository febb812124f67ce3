"""Podman where limits of resources cannot be raised, such as within a container: it must not try."""

import os
import resource
from pathlib import Path

_SYSTEM = Path("/etc/containers/containers.conf")
_CONTENT = "[containers]\ndefault_ulimits = []\n"


def podman_environment(folder: Path) -> dict[str, str]:
    """Variables for Podman: a configuration in `folder`, where it is needed and the machine has none of its own."""
    if "CONTAINERS_CONF" in os.environ or _SYSTEM.exists() or _may_raise_limits():
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "containers.conf"
    file.write_text(_CONTENT)
    return {"CONTAINERS_CONF": str(file)}


def _may_raise_limits() -> bool:
    """Whether a container can have more open files than this process; Podman without root does not ask for more."""
    if os.geteuid() != 0:
        return True
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
    except (OSError, ValueError):
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return True
