"""Programs built from Go modules. The go.mod and go.sum beside each pin every module's version and hash."""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from local.cluster.fetch.errors import FetchError
from local.cluster.versions import KUBERNETES
from local.console import Ticker

_MODULES = Path(__file__).parents[1] / "go"
_VERSION = "k8s.io/component-base/version"
_LAST_LINES = 8


@dataclass(frozen=True, slots=True)
class GoModule:
    """Programs of one module file, as the package names to build."""

    name: str
    programs: tuple[str, ...]
    packages: str = "tool"
    stamps: tuple[str, ...] = ()


_MAJOR, _MINOR, _ = KUBERNETES.split(".")
MODULES = (
    GoModule(
        "kubernetes",
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
        stamps=(f"gitVersion=v{KUBERNETES}", f"gitMajor={_MAJOR}", f"gitMinor={_MINOR}"),
    ),
    GoModule("metrics-server", ("metrics-server",)),
    GoModule("coredns", ("coredns",), packages="."),
    GoModule("kube-router", ("kube-router",)),
)


def source_of_kubernetes(caches: Path) -> Path:
    """The folder of Kubernetes' own module, which holds the pause program's source."""
    return Path(_go(_MODULES / "kubernetes", caches, "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").strip())


def build(module: GoModule, caches: Path, into: Path) -> None:
    """Build a module's programs. Stopped, it goes on where it was: Go's caches are in `caches`. Raises FetchError."""
    folder, out = _MODULES / module.name, into / f".{module.name}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    stamps = " ".join(f"-X {_VERSION}.{stamp}" for stamp in module.stamps)
    total = len(_go(folder, caches, "list", "-deps", "-tags", "providerless", module.packages).split())
    argv = ["go", "build", "-v", "-trimpath", "-tags", "providerless", "-ldflags", f"-s -w {stamps}"]
    with subprocess.Popen(
        [*argv, "-o", f"{out}/", module.packages],
        cwd=folder,
        env=_environment(caches),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        last = _report(module.name, process.stderr, total)
    if process.returncode:
        raise FetchError(f"{module.name} does not build:\n" + "\n".join(last))
    for program in module.programs:
        (out / program).replace(into / program)
    shutil.rmtree(out)


def _report(name: str, lines: IO[str], total: int) -> Iterable[str]:
    """Progress: Go prints each package as it compiles it. Returns the last lines."""
    tick, last = Ticker(every_s=15), deque[str](maxlen=_LAST_LINES)
    for number, line in enumerate(lines, 1):
        last.append(line.rstrip())
        tick(f"{name}: {number:,} of at most {total:,} packages compiled")
    return last


def _go(folder: Path, caches: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["go", *arguments], cwd=folder, env=_environment(caches), capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise FetchError(f"go {arguments[0]} failed in {folder.name}: {answer.stderr.strip()[-2000:]}")
    return answer.stdout


def _environment(caches: Path) -> dict[str, str]:
    """Go's caches apart, so that they can be deleted; writable, for the same reason."""
    own = {"GOCACHE": str(caches / "build"), "GOMODCACHE": str(caches / "modules"), "CGO_ENABLED": "0"}
    return {**os.environ, **own, "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false", "GOTOOLCHAIN": "local"}
