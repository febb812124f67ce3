"""Prometheus's programs for the tests: the system's, else Debian's package in `.tillstream/prometheus/`.

The package is unpacked, not installed: installing it would start a server.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local.layout import STATE
from local.prerequisites import MissingPrerequisite

_UNPACKED = STATE / "prometheus"
_ADVICE = "get it from https://prometheus.io/download and put it on PATH"


def program(name: str = "promtool") -> Path:
    """`promtool` or `prometheus`. Raises MissingPrerequisite."""
    found = _found(name)
    if found is None:
        raise MissingPrerequisite(f"no {name}: run `make promtool`, or {_ADVICE}")
    return found


def install() -> None:
    """Unpack Debian's package unless the programs are there. Raises MissingPrerequisite."""
    if _found("promtool"):
        return
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingPrerequisite(f"no promtool, and no apt-get to get it with: {_ADVICE}")
    with tempfile.TemporaryDirectory() as folder:
        if not _downloaded(folder) and not (os.geteuid() == 0 and _run("apt-get", "update") and _downloaded(folder)):
            raise MissingPrerequisite(f"no promtool, and `apt-get download prometheus` failed: {_ADVICE}")
        (package,) = Path(folder).glob("prometheus_*.deb")
        if not _run("dpkg-deb", "--extract", str(package), str(_UNPACKED)):
            raise MissingPrerequisite(f"{package.name} cannot be unpacked in {_UNPACKED}: {_ADVICE}")


def _found(name: str) -> Path | None:
    unpacked = _UNPACKED / "usr" / "bin" / name
    on_path = shutil.which(name)
    return Path(on_path) if on_path else unpacked if unpacked.exists() else None


def _downloaded(folder: str) -> bool:
    # Not as the user _apt, who may not write there.
    return _run("apt-get", "download", "-o", "APT::Sandbox::User=root", "prometheus", folder=folder)


def _run(*command: str, folder: str | None = None) -> bool:
    return subprocess.run(command, cwd=folder, check=False).returncode == 0


if __name__ == "__main__":
    try:
        install()
    except MissingPrerequisite as error:
        sys.exit(f"error: {error}")
