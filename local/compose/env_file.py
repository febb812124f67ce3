"""`.env`: keys of one installation, generated once."""

import os
import secrets
from pathlib import Path

KEYS = ("TILLSTREAM_S3_ACCESS_KEY", "TILLSTREAM_S3_SECRET_KEY", "TILLSTREAM_ADMIN_TOKEN")


def generated() -> dict[str, str]:
    """Random values for all keys."""
    return {name: secrets.token_hex(20) for name in KEYS}


def write_env_file(path: Path) -> bool:
    """Write generated keys, readable by their owner only. False where the file exists: it stays as it is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in generated().items())
    return True
