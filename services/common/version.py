"""Which Tillstream runs: the version of pyproject.toml, and the commit."""

import subprocess
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from services.common.settings import BuildSettings

_ROOT = Path(__file__).resolve().parents[2]
_COMMIT_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Version:
    """`number` follows semantic versioning. `commit` is None where neither the image nor git knows it."""

    number: str
    commit: str | None

    def __str__(self) -> str:
        return f"{self.number} ({self.commit})" if self.commit else self.number


@cache
def running_version() -> Version:
    """The version of this process: an image carries its commit as TILLSTREAM_COMMIT, a checkout asks git."""
    return Version(_number(_ROOT / "pyproject.toml"), BuildSettings().commit[:_COMMIT_LENGTH] or _checked_out(_ROOT))


def _number(project: Path) -> str:
    try:
        return str(tomllib.loads(project.read_text())["project"]["version"])
    except OSError:  # code shipped without its project file, as in a zip for Spark's executors
        return "unknown"


def _checked_out(root: Path) -> str | None:
    """The commit of a git checkout; None without git or outside of one."""
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", f"--short={_COMMIT_LENGTH}", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
