"""What OSV knows of Java's jars: asked by the coordinates that Maven resolves from each pom.

The jars themselves do not say enough: many have no group in them, and without it OSV finds nothing.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from packageurl import PackageURL

from local import prerequisites
from local.audit_verdict import Verdict
from local.layout import REPOSITORY
from local.prerequisites import MissingPrerequisite

POMS = ("local/kafka", "spark", "bench/debezium", "bench/peers/kafka_streams")
_OSV = "https://api.osv.dev/v1/querybatch"
_TIMEOUT_S = 60
# As `dependency:list` writes a line: group:artifact:type[:classifier]:version:scope.
_RESOLVED = re.compile(r"\s+([^:\s]+):([^:\s]+):jar:(?:[^:\s]+:)?([^:\s]+):(?:compile|runtime)\b")


def jar_verdicts() -> Iterator[Verdict]:
    """Of each pom."""
    for folder in POMS:
        yield _asked(f"{folder}/pom.xml")


def _asked(source: str) -> Verdict:
    try:
        purls = read_dependencies(_resolved(REPOSITORY / source))
    except (MissingPrerequisite, subprocess.CalledProcessError) as error:
        reason = maven_error(error.stdout) if isinstance(error, subprocess.CalledProcessError) else str(error)
        return Verdict(source, 1, unasked=1, reason=reason)
    if not purls:
        return Verdict(source, 1, unasked=1, reason="Maven names no jar")
    try:
        queries = {"queries": [{"package": {"purl": purl}} for purl in purls]}
        answer = httpx.post(_OSV, json=queries, timeout=_TIMEOUT_S).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        return Verdict(source, len(purls), unasked=len(purls), reason=f"{_OSV}: {error}")
    return read_osv(source, purls, answer)


def _resolved(pom: Path) -> str:
    """Maven's list of a pom's jars. Raises MissingPrerequisite, CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "list"
        options = ("-DincludeScope=runtime", f"-DoutputFile={output}")
        command = [str(prerequisites.maven()), "-B", "-q", "-ntp", "-f", str(pom), "dependency:list", *options]
        subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
        return output.read_text()


def maven_error(output: str) -> str:
    """Why Maven failed: its first error, since hints follow it."""
    return next((line for line in output.splitlines() if "ERROR" in line), "Maven says nothing")


def read_dependencies(listed: str) -> Sequence[str]:
    """The purls in what `mvn dependency:list` wrote."""
    found = (_RESOLVED.match(line) for line in listed.splitlines())
    return sorted({PackageURL("maven", each[1], each[2], each[3]).to_string() for each in found if each})


def read_osv(source: str, purls: Sequence[str], answer: Any) -> Verdict:
    """From OSV's answers, in the order of what was asked."""
    vulnerable = [
        f"{purl}: {', '.join(vuln['id'] for vuln in each['vulns'])}"
        for purl, each in zip(purls, answer["results"], strict=True)
        if each.get("vulns")
    ]
    return Verdict(source, len(purls), vulnerable)
