"""`python -m local.audit`: ask for known vulnerabilities of all that is locked; `make audit` calls it.

Python's locks are asked about at PyPI, by pip-audit; npm's at npm's registry; the jars of each pom at OSV. It says how
many could not be asked about, since silence is no good news. Exit status 1: something is vulnerable; 2: nothing is
known to be, but not everything could be asked about.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from local import prerequisites
from local.audit_jars import jar_verdicts
from local.audit_verdict import Verdict, last_line
from local.layout import REPOSITORY, STATE
from local.prerequisites import MissingPrerequisite

_PIP_AUDIT = STATE / "audit" / "bin" / "pip-audit"
# The images' locks have the versions of development (tests/integration/test_locks.py).
LOCKS = (
    *(f"requirements/{name}.lock" for name in ("development", "infra", "audit")),
    *(f"bench/peers/{name}/requirements.lock" for name in ("implicit_als", "quix")),
)
NPM_LOCKS = ("web/package-lock.json", "infra/package-lock.json")


def main() -> int:
    """Print a line for each source as it has answered; returns the exit status."""
    verdicts = []
    for verdict in _verdicts():
        verdicts.append(verdict)
        print(verdict, *(f"    {line}" for line in verdict.vulnerable), sep="\n", flush=True)
    return status(verdicts)


def _verdicts() -> Iterator[Verdict]:
    yield from map(python_verdict, LOCKS)
    yield from map(npm_verdict, NPM_LOCKS)
    yield from jar_verdicts()


def status(verdicts: Sequence[Verdict]) -> int:
    """The exit status of what was found. Without packages nothing was asked."""
    if any(verdict.vulnerable for verdict in verdicts):
        return 1
    return 2 if any(verdict.unasked or not verdict.packages for verdict in verdicts) else 0


def python_verdict(source: str) -> Verdict:
    """Of a lock with hashes."""
    lock = str(REPOSITORY / source)
    command = [str(_PIP_AUDIT), "-r", lock, "--disable-pip", "--require-hashes", "-f", "json", "-s", "pypi"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return Verdict(source, 1, unasked=1, reason="no pip-audit: `make audit` installs it")
    return read_pip_audit(source, done.stdout, done.stderr)


def read_pip_audit(source: str, answer: str, errors: str) -> Verdict:
    """From pip-audit's JSON; without any, from its last words."""
    if not answer.strip():
        return Verdict(source, 1, unasked=1, reason=last_line(errors))
    found = json.loads(answer)["dependencies"]
    vulnerable = [
        f"{each['name']} {each['version']}: {', '.join(vuln['id'] for vuln in each['vulns'])}"
        for each in found
        if each.get("vulns")
    ]
    skipped = [each["skip_reason"] for each in found if "skip_reason" in each]
    return Verdict(source, len(found), vulnerable, len(skipped), skipped[0] if skipped else "")


def npm_verdict(source: str) -> Verdict:
    """Of npm's lock."""
    lock = REPOSITORY / source
    packages = len(json.loads(lock.read_text())["packages"]) - 1
    try:
        prerequisites.node()
    except MissingPrerequisite as error:
        return Verdict(source, packages, unasked=packages, reason=str(error))
    return read_npm_audit(source, packages, _npm_audit(lock.parent))


def _npm_audit(folder: Path) -> str:
    command = ["npm", "audit", "--package-lock-only", "--json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def read_npm_audit(source: str, packages: int, answer: str) -> Verdict:
    """From npm's JSON, which has an error where the registry answers none."""
    found: Any = json.loads(answer or "{}")
    if "vulnerabilities" not in found:
        reason = found.get("message") or found.get("error", {}).get("summary") or "npm says nothing"
        return Verdict(source, packages, unasked=packages, reason=last_line(reason))
    vulnerable = [f"{name}: {each['severity']}" for name, each in sorted(found["vulnerabilities"].items())]
    return Verdict(source, packages, vulnerable)


if __name__ == "__main__":
    sys.exit(main())
