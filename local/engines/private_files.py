"""Files that only their owner may read, and secrets that are kept in them."""

import os
import secrets
import tempfile
from pathlib import Path

_SECRET_BYTES = 32


def write_private(path: Path, text: str) -> None:
    """Write a file, whole or not at all. What it held before, and who could read that, goes with the former file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # its mode is 0600
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink()
        raise


def is_written(path: Path) -> bool:
    """Whether the file holds anything. An empty one is what an interrupted write may have left."""
    return path.exists() and bool(path.read_text(encoding="utf-8").strip())


def stored_secret(path: Path) -> str:
    """The secret of a file; made at first use."""
    if not is_written(path):
        write_private(path, secrets.token_urlsafe(_SECRET_BYTES))
    return path.read_text(encoding="utf-8")
