"""`python -m local.audit`: ask for known vulnerabilities of all that is locked; `make audit` calls it.

Python's locks are asked about at PyPI, by pip-audit; the page's packages at npm's registry; Java's jars at OSV. It says
how many could not be asked about, since silence is no good news. Exit status 1: something is vulnerable; 2: nothing is
known to be, but not everything could be asked about.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from local.images.packages import found_packages
from local.layout import JARS, REPOSITORY, STATE

_PIP_AUDIT = STATE / "audit" / "bin" / "pip-audit"
# The images' locks have the versions of development (tests/integration/test_locks.py).
_LOCKS = ("development", "infra", "audit")
_OSV = "https://api.osv.dev/v1/querybatch"
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one source: what is vulnerable, each with its advisories, and why packages could not be asked about."""

    source: str
    packages: int
    vulnerable: Sequence[str] = ()
    unasked: int = 0
    reason: str = ""

    def __str__(self) -> str:
        asked = f"{self.packages - self.unasked} of {self.packages} packages asked about"
        missing = f", {self.unasked} could not be: {self.reason}" if self.unasked else ""
        return f"{self.source:<28} {asked}{missing}; {len(self.vulnerable)} vulnerable"


def main() -> int:
    """Print a line for each source as it has answered; returns the exit status."""
    verdicts = []
    for verdict in _verdicts():
        verdicts.append(verdict)
        print(verdict, *(f"    {line}" for line in verdict.vulnerable), sep="\n", flush=True)
    return status(verdicts)


def _verdicts() -> Iterator[Verdict]:
    yield from python_verdicts()
    yield npm_verdict()
    yield java_verdict()


def status(verdicts: Sequence[Verdict]) -> int:
    """The exit status of what was found."""
    if any(verdict.vulnerable for verdict in verdicts):
        return 1
    return 2 if any(verdict.unasked for verdict in verdicts) else 0


def python_verdicts() -> Iterator[Verdict]:
    """Of the locks that have all others in them."""
    for lock in (REPOSITORY / "requirements" / f"{name}.lock" for name in _LOCKS):
        command = [str(_PIP_AUDIT), "-r", str(lock), "--disable-pip", "--require-hashes", "-f", "json", "-s", "pypi"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        yield read_pip_audit(lock.name, done.stdout, done.stderr)


def read_pip_audit(source: str, answer: str, errors: str) -> Verdict:
    """From pip-audit's JSON; without any, from its last words."""
    if not answer.strip():
        return Verdict(source, 1, unasked=1, reason=_last_line(errors))
    found = json.loads(answer)["dependencies"]
    vulnerable = [
        f"{each['name']} {each['version']}: {', '.join(vuln['id'] for vuln in each['vulns'])}"
        for each in found
        if each.get("vulns")
    ]
    skipped = [each["skip_reason"] for each in found if "skip_reason" in each]
    return Verdict(source, len(found), vulnerable, len(skipped), skipped[0] if skipped else "")


def npm_verdict() -> Verdict:
    """Of the page's lock."""
    done = subprocess.run(
        ["npm", "audit", "--package-lock-only", "--json"],
        cwd=REPOSITORY / "web",
        capture_output=True,
        text=True,
        check=False,
    )
    packages = len(json.loads((REPOSITORY / "web" / "package-lock.json").read_text())["packages"]) - 1
    return read_npm_audit(packages, done.stdout)


def read_npm_audit(packages: int, answer: str) -> Verdict:
    """From npm's JSON, which has an error where the registry answers none."""
    found: Any = json.loads(answer or "{}")
    if "vulnerabilities" not in found:
        reason = found.get("message") or found.get("error", {}).get("summary") or "npm says nothing"
        return Verdict("package-lock.json", packages, unasked=packages, reason=_last_line(reason))
    vulnerable = [f"{name}: {each['severity']}" for name, each in sorted(found["vulnerabilities"].items())]
    return Verdict("package-lock.json", packages, vulnerable)


def java_verdict() -> Verdict:
    """Of the jars that `make jars` fetches."""
    purls = sorted(set(_purls(JARS.glob("*/*.jar"))))
    try:
        queries = {"queries": [{"package": {"purl": purl}} for purl in purls]}
        answer = httpx.post(_OSV, json=queries, timeout=_TIMEOUT_S).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        return Verdict("jars", len(purls), unasked=len(purls), reason=f"{_OSV}: {error}")
    return read_osv(purls, answer)


def read_osv(purls: Sequence[str], answer: Any) -> Verdict:
    """From OSV's answers, in the order of what was asked."""
    vulnerable = [
        f"{purl}: {', '.join(vuln['id'] for vuln in each['vulns'])}"
        for purl, each in zip(purls, answer["results"], strict=True)
        if each.get("vulns")
    ]
    return Verdict("jars", len(purls), vulnerable)


def _purls(jars: Iterator[Path]) -> Iterator[str]:
    return (package.purl for jar in jars for package in found_packages([(jar.name, jar.read_bytes())]))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no answer"])[-1]


if __name__ == "__main__":
    sys.exit(main())
