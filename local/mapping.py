"""How a file of purchases is read: `services.producer inspect` finds out, and a mapping next to the file keeps it."""

import os
import subprocess
import sys
from pathlib import Path

from local.console import say
from local.layout import REPOSITORY, STATE
from local.stack import StackError


def mapping_for(file: Path | None, given: Path | None) -> Path | None:
    """The mapping of a file: the one given, the one kept from before, or a new one; None for the seed layout.

    What the file does not decide is asked on the terminal. Raises StackError.
    """
    if file is None or given is not None:
        return given
    kept = _kept(file)
    if kept.exists():
        say(f"{file.name} is read as {kept} says")
        return kept
    command = [sys.executable, "-m", "services.producer", "inspect", str(file.absolute())]
    if subprocess.run([*command, "--if-needed", "--out", str(kept)], cwd=REPOSITORY, check=False).returncode:
        raise StackError(f"nothing was sent: see above what {file.name} lacks")
    return kept if kept.exists() else None


def seed_copy(file: Path, mapping: Path, folder: Path) -> Path:
    """The rows of a file in the seed layout, written into a folder. Raises StackError."""
    copy = folder / f"{file.name}.csv"
    command = [sys.executable, "-m", "services.producer", "convert", str(file.absolute()), str(copy)]
    if subprocess.run([*command, "--mapping", str(mapping.absolute())], cwd=REPOSITORY, check=False).returncode:
        raise StackError(f"{file.name} cannot be read by {mapping}: see above")
    return copy


def _kept(file: Path) -> Path:
    """Next to the file or, where nobody may write there, in the state folder."""
    path = file.absolute()
    name = f"{path.name.removesuffix('.gz').removesuffix('.zip').rsplit('.', 1)[0]}.mapping.toml"
    if os.access(path.parent, os.W_OK) or path.with_name(name).exists():
        return path.with_name(name)
    folder = STATE / "mappings"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
