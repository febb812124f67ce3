"""Prometheus's programs: the system's, else those of Debian's package in `.tillstream/prometheus/`.

`python -m local.monitoring.programs` gets what is missing, with apt. Prometheus and promtool are unpacked, not
installed: installing them would start a server. Debian's Alertmanager reads its templates from /usr/share, so it has to
be installed; where that would start a server, the user is asked to do it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from local.layout import STATE
from local.prerequisites import MissingPrerequisite

Name = Literal["prometheus", "promtool", "alertmanager"]

UNPACKED = STATE / "prometheus"
_PACKAGES = {"prometheus": "prometheus", "promtool": "prometheus", "alertmanager": "prometheus-alertmanager"}
_DOWNLOAD = "https://prometheus.io/download"
_SYSTEMD = Path("/run/systemd/system")


def program(name: Name) -> Path:
    """The program's path. Raises MissingPrerequisite."""
    found = _found(name)
    if found is None:
        raise MissingPrerequisite(f"no {name}: run `make prometheus`, or {advice(name)}")
    return found


def advice(name: Name) -> str:
    """How to get it."""
    return f"apt-get install {_PACKAGES[name]}, or get it from {_DOWNLOAD} and put it on PATH"


def install() -> None:
    """Get what is missing. Raises MissingPrerequisite."""
    if _found("promtool") is None or _found("prometheus") is None:
        _unpack()
    if _found("alertmanager") is None:
        _install_alertmanager()


def _found(name: Name) -> Path | None:
    on_path = shutil.which(name) or shutil.which(_PACKAGES[name] if name == "alertmanager" else name)
    unpacked = UNPACKED / "usr" / "bin" / name
    return Path(on_path) if on_path else unpacked if unpacked.exists() else None


def _unpack() -> None:
    _require_apt("prometheus")
    with tempfile.TemporaryDirectory() as folder:
        if not _downloaded(folder) and not (os.geteuid() == 0 and _run("apt-get", "update") and _downloaded(folder)):
            raise MissingPrerequisite(f"`apt-get download prometheus` failed: {advice('prometheus')}")
        (package,) = Path(folder).glob("prometheus_*.deb")
        if not _run("dpkg-deb", "--extract", str(package), str(UNPACKED)):
            raise MissingPrerequisite(f"{package.name} cannot be unpacked in {UNPACKED}: {advice('prometheus')}")


def _downloaded(folder: str) -> bool:
    # Not as the user _apt, who may not write there.
    return _run("apt-get", "download", "-o", "APT::Sandbox::User=root", "prometheus", folder=folder)


def _install_alertmanager() -> None:
    """As root where no systemd would start it, such as in a container."""
    _require_apt("alertmanager")
    if os.geteuid() != 0 or _SYSTEMD.exists():
        raise MissingPrerequisite(
            "no alertmanager: apt-get install prometheus-alertmanager && systemctl disable --now "
            f"prometheus-alertmanager, or get it from {_DOWNLOAD} and put it on PATH"
        )
    command = ("apt-get", "install", "-y", "--no-install-recommends", "prometheus-alertmanager")
    if not _run(*command) and not (_run("apt-get", "update") and _run(*command)):
        raise MissingPrerequisite(f"`{' '.join(command)}` failed: {advice('alertmanager')}")


def _require_apt(name: Name) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingPrerequisite(f"no {name}, and no apt-get to get it with: {advice(name)}")


def _run(*command: str, folder: str | None = None) -> bool:
    return subprocess.run(command, cwd=folder, check=False).returncode == 0


if __name__ == "__main__":
    try:
        install()
    except MissingPrerequisite as error:
        sys.exit(f"error: {error}")
