"""Paths: the checkout, and the state of the one-machine stack in `.tillstream/` (git-ignored)."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from services.common.settings import SOCKET_PATH_BYTES

REPOSITORY = Path(__file__).resolve().parents[1]
STATE = REPOSITORY / ".tillstream"
JARS = STATE / "jars"
# Prometheus's recording rules and alerts.
RULES = REPOSITORY / "monitoring" / "rules"
CLASSES = STATE / "classes"
_ENGINES = {"kafka", "redis", "s3", "alertmanager", "prometheus"}
_OWN = {"run", "logs", "data", "recommender.sock", "demo", "demo.lock", "history-of", *_ENGINES}


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one stack's state."""

    root: Path

    def make_private(self) -> bool:
        """Let nobody but the owner look into the state, whatever the modes of the files in it.

        False where others can, and the folder is not the stack's alone: its mode stays as it is.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        found = self.root.stat()
        if not stat.S_IMODE(found.st_mode) & 0o077:
            return True
        if found.st_uid != os.getuid() or not self._is_ours():
            return False
        self.root.chmod(0o700)
        return True

    def _is_ours(self) -> bool:
        return self.root.is_relative_to(STATE) or {path.name for path in self.root.iterdir()} <= _OWN

    @property
    def run(self) -> Path:
        """One record for each started process."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.root / "logs"

    @property
    def data(self) -> Path:
        """Files of the services, such as the producer's checkpoints."""
        return self.root / "data"

    @property
    def recommender_socket(self) -> Path | None:
        """Where the gateway asks the recommender; None where the path is longer than a socket's may be."""
        path = self.root / "recommender.sock"
        return path if len(str(path).encode()) <= SOCKET_PATH_BYTES else None

    @property
    def redis_password(self) -> Path:
        """The password of the stack's own Redis, which its owner alone reads."""
        return self.engine("redis") / "password"

    def engine(self, name: str) -> Path:
        """An engine's own data."""
        return self.root / name

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.logs / f"{name}.log"
