"""What the gateway makes of Prometheus's answer, and the sections of the runbook."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.layout import REPOSITORY
from services.gateway.runbook import Runbook, section_of
from services.gateway.upstreams.alerts import firing_in

RUNBOOK = Runbook(REPOSITORY / "docs" / "runbooks" / "alerts.md")


def alert(name: str, severity: str = "page", **given: Any) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": severity},
        "annotations": {"summary": f"{name} fires.", "runbook": f"docs/runbooks/alerts.md#{name.lower()}"},
        "state": "firing",
        "activeAt": "2026-11-29T18:30:00.123456789Z",
        **given,
    }


def answer(*alerts: object) -> bytes:
    return json.dumps({"status": "success", "data": {"alerts": alerts}}).encode()


WATCHDOG = alert("Watchdog", "none")


def test_what_fires_comes_in_words_the_most_urgent_first() -> None:
    found = firing_in(answer(alert("ModelStale", "ticket"), WATCHDOG, alert("BooksDiffer")))
    assert found.evaluated
    assert [each.name for each in found.alerts] == ["BooksDiffer", "ModelStale"]
    assert found.alerts[0].model_dump() == {
        "name": "BooksDiffer",
        "severity": "page",
        "summary": "BooksDiffer fires.",
        "since": "2026-11-29T18:30:00.123Z",
        "runbook": "/v1/system/runbook/booksdiffer",
    }


def test_what_is_pending_or_of_another_system_is_left_out() -> None:
    others = alert("NodeDown", annotations={"summary": "x", "runbook_url": "https://example.com"})
    found = firing_in(answer(alert("FiguresLag", state="pending"), others, alert("A", annotations={})))
    assert (found.evaluated, found.alerts) == (False, [])


def test_long_texts_are_cut_and_a_runbook_is_no_other_address() -> None:
    long = alert("X" * 1_000, annotations={"summary": "y" * 9_000, "runbook": "docs/runbooks/alerts.md#../../admin"})
    (found,) = firing_in(answer(long)).alerts
    assert (len(found.name), len(found.summary), found.runbook) == (300, 300, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"data": {"alerts": [1]}}',
        answer({"state": "firing"}),
        answer(alert("A", activeAt="soon")),
    ],
    ids=["empty", "html", "list", "object", "number", "bare", "no-time"],
)
def test_another_answer_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"not the answer|Expecting value|is neither RFC 3339"):
        firing_in(body)


def test_the_runbook_is_read_by_sections(tmp_path: Path) -> None:
    section = RUNBOOK.section("BooksDiffer")
    assert section is not None
    assert section.startswith("## BooksDiffer\n")
    assert section.count("\n## ") == 0
    assert RUNBOOK.section(section_of("docs/runbooks/alerts.md#booksdiffer") or "") == section
    assert RUNBOOK.section("nothing") is None
    assert Runbook(tmp_path / "away.md").section("BooksDiffer") is None
