"""Chromium for the browser tests: the system's, else the one that `python -m local.browser` installs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from local.prerequisites import MissingPrerequisite

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ADVICE = "e.g. apt-get install chromium"


def chromium() -> Path:
    """The browser to run. Raises MissingPrerequisite."""
    found = _on_path() or _of_playwright()
    if found is None:
        raise MissingPrerequisite(f"no Chromium for the browser tests: run `make browser`, or {_ADVICE}")
    return found


def install() -> None:
    """Install Chromium unless there is one: as root by apt, else playwright's own into the user's cache."""
    if _on_path() or _of_playwright():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _run("apt-get", "update")
        _run("apt-get", "install", "-y", "--no-install-recommends", "chromium")
    else:
        _run(sys.executable, "-m", "playwright", "install", "chromium")
    chromium()


def _on_path() -> Path | None:
    return next((Path(found) for name in _NAMES if (found := shutil.which(name))), None)


def _of_playwright() -> Path | None:
    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.exists() else None


def _run(*command: str) -> None:
    if subprocess.run(command, check=False).returncode:
        raise MissingPrerequisite(f"no Chromium for the browser tests, and `{' '.join(command)}` failed: {_ADVICE}")


if __name__ == "__main__":
    try:
        install()
    except MissingPrerequisite as error:
        sys.exit(f"error: {error}")
