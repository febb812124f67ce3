"""Checks of the machine's prerequisites: one line for each that is missing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

# Major and minor.
Version = tuple[int, int]


class MissingPrerequisite(Exception):
    """The machine lacks something; the message says what and how to get it."""


def python() -> None:
    """This Python, 3.11 or later, able to make an environment."""
    if sys.version_info < (3, 11):  # noqa: UP036  whatever python3 there is runs this
        raise MissingPrerequisite(
            f"{sys.executable} is Python {sys.version_info[0]}.{sys.version_info[1]}: 3.11 or later is needed, "
            "e.g. make PYTHON3=/path/to/python3.12 ..."
        )
    if find_spec("ensurepip") is None:
        raise MissingPrerequisite("Python cannot make an environment: apt-get install python3-venv")


def java() -> Path:
    """The `java` of JAVA_HOME or PATH, version 17 or later."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if found is None:
        where = f"in JAVA_HOME ({home})" if home else "on PATH"
        raise MissingPrerequisite(f"no java {where}: Java 17 or later, e.g. apt-get install openjdk-17-jre-headless")
    _require("Java", (17, 0), [found, "-version"], "apt-get install openjdk-17-jre-headless")
    return Path(found)


def maven() -> Path:
    """The `mvn` of PATH."""
    return _on_path("mvn", "Maven, e.g. apt-get install maven")


def node() -> Path:
    """The `node` of PATH, version 20.19 or later, with npm."""
    advice = "see https://nodejs.org/en/download"
    found = _on_path("node", f"Node.js 20.19 or later, {advice}")
    _require("Node.js", (20, 19), [str(found), "--version"], advice)
    _on_path("npm", "npm, which comes with Node.js or as apt-get install npm")
    return found


def _on_path(program: str, advice: str) -> Path:
    found = shutil.which(program)
    if found is None:
        raise MissingPrerequisite(f"no {program} on PATH: {advice}")
    return Path(found)


def _require(name: str, least: Version, command: list[str], advice: str) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    found = version_in(answer.stdout + answer.stderr)
    if found is None:
        raise MissingPrerequisite(f"`{' '.join(command)}` fails: {name} {_shown(least)} or later, {advice}")
    if found < least:
        raise MissingPrerequisite(
            f"{command[0]} is {name} {_shown(found)}: {_shown(least)} or later is needed, {advice}"
        )


def version_in(text: str) -> Version | None:
    """The version in what `java -version` or `node --version` says; Java's old 1.8 is 8."""
    match = re.search(r'^(?:.*version "|v)(?:1\.)?(\d+)(?:\.(\d+))?', text, re.MULTILINE)
    return (int(match[1]), int(match[2] or 0)) if match else None


def _shown(version: Version) -> str:
    """`17`, `20.19`."""
    major, minor = version
    return f"{major}.{minor}" if minor else str(major)


def main() -> int:
    """Print every missing prerequisite; 0 if there is none. Runs before anything is installed."""
    missing = [problem for problem in map(_problem, (python, java, maven, node)) if problem]
    for problem in missing:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if missing else 0


def _problem(check: Callable[[], object]) -> str | None:
    try:
        check()
    except MissingPrerequisite as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
