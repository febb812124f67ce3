"""The transformation function as files. Those of the batch job: spark/submit/packing.py."""

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FUNCTION = REPOSITORY / ".tillstream" / "aws" / "function"

# The function and what it imports.
FUNCTION_MODULES = (
    "infra/__init__.py",
    "infra/delivery/__init__.py",
    "infra/delivery/transform.py",
    "services/__init__.py",
    "services/common/__init__.py",
    "services/common/archive/__init__.py",
    "services/common/archive/lines.py",
    "services/common/canary.py",
    "services/common/erased.py",
    "services/common/event_rules.py",
    "services/common/events.py",
    "services/common/json_nesting.py",
    "services/common/line_totals.py",
    "services/common/money.py",
    "services/common/short_rows.py",
    "services/common/spellings.py",
    "services/common/texts.py",
    "services/common/times.py",
)
_LAMBDA = ("--python-version", "3.14", "--python-platform", "aarch64-manylinux_2_28", "--only-binary", ":all:")
_LOCK = REPOSITORY / "requirements" / "function.lock"


class NotPackaged(Exception):
    """The function's folder is missing."""


def require_function(folder: Path) -> Path:
    """The folder, if the function is in it. Raises NotPackaged."""
    if not (folder / FUNCTION_MODULES[-1]).exists():
        raise NotPackaged(f"no function in {folder}: `make aws-package` packs it")
    return folder


def copy_function(folder: Path) -> Path:
    """Copy the function's modules into an empty folder, without the packages that they import."""
    shutil.rmtree(folder, ignore_errors=True)
    for module in FUNCTION_MODULES:
        target = folder / module
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / module, target)
    return folder


def build_function(folder: Path) -> Path:
    """The function with its locked packages for Lambda's Python. Raises CalledProcessError where uv fails."""
    copy_function(folder)
    uv = Path(sys.executable).with_name("uv")
    install = [uv, "pip", "install", "--quiet", "--target", folder, *_LAMBDA, "--require-hashes", "-r", _LOCK]
    subprocess.run([str(part) for part in install], check=True)
    return folder
