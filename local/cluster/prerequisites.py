"""Checks of what the machine must have for the cluster: the first that is missing is named."""

import os
import shutil
import subprocess
from pathlib import Path

from local.cluster.cgroups import V1_ROOT
from local.prerequisites import MissingPrerequisite, Version, version_in

GO: Version = (1, 26)
_ELSEWHERE = "on another system use kind, minikube or k3d, see k8s/README.md"
_PROGRAMS = {
    "apt-get": f"Debian's package manager; {_ELSEWHERE}",
    "dpkg-deb": f"Debian's package manager; {_ELSEWHERE}",
    "gcc": "a C compiler, apt-get install gcc libc6-dev",
    "openssl": "apt-get install openssl",
    "unshare": "apt-get install util-linux",
    "nsenter": "apt-get install util-linux",
    "mount": "apt-get install mount",
}


def check_running() -> None:
    """What it takes to run the node. Raises MissingPrerequisite."""
    if os.geteuid() != 0:
        raise MissingPrerequisite("the cluster needs root, for namespaces, mounts and cgroups: run it with sudo")
    if not (V1_ROOT / "memory").is_dir():
        raise MissingPrerequisite(f"the cluster needs cgroup v1 controllers in {V1_ROOT}; {_ELSEWHERE}")
    _require("unshare", "nsenter", "mount", "openssl")


def check_building() -> None:
    """What it takes to fetch and build the programs. Raises MissingPrerequisite."""
    _require("apt-get", "dpkg-deb", "gcc")
    if "debian" not in Path("/etc/os-release").read_text():
        raise MissingPrerequisite(f"the cluster takes containerd and etcd from Debian's archive; {_ELSEWHERE}")
    found = _go_version()
    if found is None or found < GO:
        has = f"go is {found[0]}.{found[1]}" if found else "no go on PATH"
        raise MissingPrerequisite(f"{has}: Go {GO[0]}.{GO[1]} or later builds Kubernetes, see https://go.dev/dl")


def _require(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise MissingPrerequisite(f"no {program} on PATH: {_PROGRAMS[program]}")


def _go_version() -> Version | None:
    if shutil.which("go") is None:
        return None
    answer = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False)
    return version_in(answer.stdout.replace("go", "v", 1))
