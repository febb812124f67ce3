"""The audit says what is vulnerable and what could not be asked, and never takes silence for good news."""

import json
from pathlib import Path

import pytest

from local.audit import LOCKS, NPM_LOCKS, npm_verdict, python_verdict, read_npm_audit, read_pip_audit, status
from local.audit_jars import POMS, jar_verdicts, maven_error, read_dependencies, read_osv
from local.audit_verdict import Verdict
from local.layout import REPOSITORY

LISTED = """
The following files have been resolved:
   org.apache.kafka:kafka-clients:jar:4.3.1:compile -- module kafka.clients (auto)
   io.netty:netty-transport:jar:linux-x86_64:4.2.1.Final:runtime
   org.example:only-tests:jar:1:test
"""

PIP = {
    "dependencies": [
        {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}, {"id": "GHSA-2"}]},
        {"name": "b", "version": "2", "vulns": []},
        {"name": "c", "skip_reason": "not found on PyPI"},
    ]
}


def test_a_lock_has_vulnerable_packages_and_some_that_nobody_knows() -> None:
    found = read_pip_audit("x.lock", json.dumps(PIP), "")
    assert found == Verdict("x.lock", 3, ["a 1: PYSEC-1, GHSA-2"], 1, "not found on PyPI")
    assert str(found).endswith("2 of 3 packages asked about, 1 could not be: not found on PyPI; 1 vulnerable")


def test_without_an_answer_nothing_was_asked() -> None:
    assert read_pip_audit("x.lock", "", "Traceback\nno network\n") == Verdict("x.lock", 1, (), 1, "no network")
    refused = '{"message": "405 Method Not Allowed", "error": {"summary": ""}}'
    assert read_npm_audit("p", 7, refused) == Verdict("p", 7, (), 7, "405 Method Not Allowed")
    assert read_npm_audit("p", 7, "").unasked == 7


def test_npm_and_osv_name_what_is_vulnerable() -> None:
    assert read_npm_audit("p", 7, '{"vulnerabilities": {"x": {"severity": "high"}}}').vulnerable == ["x: high"]
    assert read_npm_audit("p", 7, '{"vulnerabilities": {}}') == Verdict("p", 7, [])
    answer = {"results": [{}, {"vulns": [{"id": "CVE-1"}]}]}
    assert read_osv("p", ["pkg:a", "pkg:b"], answer) == Verdict("p", 2, ["pkg:b: CVE-1"])


def test_the_exit_status_tells_the_three_apart() -> None:
    fine, unasked, vulnerable = Verdict("a", 1), Verdict("b", 1, (), 1), Verdict("c", 1, ["x"])
    assert status([fine]) == 0
    assert status([fine, unasked]) == 2
    assert status([unasked, vulnerable]) == 1
    assert status([fine, Verdict("without packages", 0)]) == 2


def test_jars_are_asked_about_with_their_group() -> None:
    assert read_dependencies(LISTED) == [
        "pkg:maven/io.netty/netty-transport@4.2.1.Final",
        "pkg:maven/org.apache.kafka/kafka-clients@4.3.1",
    ]
    assert read_dependencies("") == []
    assert maven_error("[WARNING] x\n[ERROR] no network\n[ERROR] [Help 1]") == "[ERROR] no network"


def test_without_the_programs_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("local.audit._PIP_AUDIT", tmp_path / "pip-audit")
    verdicts = [python_verdict(LOCKS[0]), npm_verdict(NPM_LOCKS[0]), *jar_verdicts()]
    assert [each for each in verdicts if each.unasked != each.packages or each.unasked == 0] == []
    assert ["no mvn" in each.reason for each in verdicts[2:]] == [True] * len(POMS)
    assert status(verdicts) == 2


def test_every_lock_of_the_tree_is_asked_about() -> None:
    patterns = ("*/package-lock.json", "*/pom.xml", "*/*/pom.xml", "*/*/*/pom.xml", "bench/*/*/requirements.lock")
    paths = [path.relative_to(REPOSITORY) for pattern in patterns for path in REPOSITORY.glob(pattern)]
    found = {str(path) for path in paths if path.parts[0][0] != "." and "node_modules" not in path.parts}
    poms = {f"{folder}/pom.xml" for folder in POMS}
    assert found == {*NPM_LOCKS, *poms, *(lock for lock in LOCKS if lock.startswith("bench/"))}
