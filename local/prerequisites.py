"""What the machine must bring, and one line for each thing that is missing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path


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
    _require_major("Java", 17, [found, "-version"], "apt-get install openjdk-17-jre-headless")
    return Path(found)


def maven() -> Path:
    """The `mvn` of PATH."""
    return _on_path("mvn", "Maven, e.g. apt-get install maven")


def node() -> Path:
    """The `node` of PATH, version 20 or later, with npm beside it."""
    advice = "see https://nodejs.org/en/download"
    found = _on_path("node", f"Node.js 20 or later, {advice}")
    _require_major("Node.js", 20, [str(found), "--version"], advice)
    _on_path("npm", "npm, which comes with Node.js or as apt-get install npm")
    return found


def _on_path(program: str, advice: str) -> Path:
    found = shutil.which(program)
    if found is None:
        raise MissingPrerequisite(f"no {program} on PATH: {advice}")
    return Path(found)


def _require_major(name: str, least: int, command: list[str], advice: str) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    major = major_version(answer.stdout + answer.stderr)
    if major is None:
        raise MissingPrerequisite(f"`{' '.join(command)}` fails: {name} {least} or later, {advice}")
    if major < least:
        raise MissingPrerequisite(f"{command[0]} is {name} {major}: {least} or later is needed, {advice}")


def major_version(text: str) -> int | None:
    """The major version in what `java -version` or `node --version` says; Java's old 1.8 is 8."""
    match = re.search(r'^(?:.*version "|v)(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(match[1]) if match else None


def main() -> int:
    """Name everything that is missing; 0 if nothing is. Runs before anything is installed."""
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
