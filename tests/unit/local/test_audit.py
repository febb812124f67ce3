"""The audit says what is vulnerable and what could not be asked, and never takes silence for good news."""

import json

from local.audit import Verdict, read_npm_audit, read_osv, read_pip_audit, status

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
    assert read_npm_audit(7, refused) == Verdict("package-lock.json", 7, (), 7, "405 Method Not Allowed")
    assert read_npm_audit(7, "").unasked == 7


def test_npm_and_osv_name_what_is_vulnerable() -> None:
    assert read_npm_audit(7, '{"vulnerabilities": {"x": {"severity": "high"}}}').vulnerable == ["x: high"]
    assert read_npm_audit(7, '{"vulnerabilities": {}}') == Verdict("package-lock.json", 7, [])
    answer = {"results": [{}, {"vulns": [{"id": "CVE-1"}]}]}
    assert read_osv(["pkg:a", "pkg:b"], answer) == Verdict("jars", 2, ["pkg:b: CVE-1"])


def test_the_exit_status_tells_the_three_apart() -> None:
    fine, unasked, vulnerable = Verdict("a", 1), Verdict("b", 1, (), 1), Verdict("c", 1, ["x"])
    assert status([fine]) == 0
    assert status([fine, unasked]) == 2
    assert status([unasked, vulnerable]) == 1
