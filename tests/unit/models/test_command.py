"""The registry's command line on a bucket in memory: what it shows and what it changes."""

import json
from typing import Any

import pytest

from services.common.model_manifest import ManifestSummary
from services.common.model_pointer import InvalidVariants
from services.common.model_registry import POINTER, NothingBefore, RefusedByGate, read_pointer
from services.models.__main__ import main
from services.models.command import command_parser
from services.models.commands import facts
from tests.support.bucket import Bucket

OLD, LAST, NEW = "20261101T000000Z-aaaaaa", "20261102T000000Z-bbbbbb", "20261103T000000Z-cccccc"
REFUSED_WORDS = "The model was not published: customer 9 gets nothing."


def gate(verdict: str = "published", winner: str = "candidate", reason: str = "It does best.") -> dict[str, Any]:
    figures = {"warm": {"hr@3": [0.04, 0.035, 0.045], "ndcg@10": [0.03, 0.02, 0.04]}}
    recipes = [
        {"name": "candidate", "refused": None, "figures": figures},
        {"name": "popularity", "refused": "It is worse.", "figures": figures},
    ]
    checks = [{"name": "files are whole", "passed": verdict == "published", "detail": "14 files"}]
    return {"verdict": verdict, "winner": winner, "reason": reason, "recipes": recipes, "checks": checks}


def manifest(version: str, **content: Any) -> bytes:
    return json.dumps(
        {
            "format_version": 2,
            "version": version,
            "created_at": "2026-11-03T00:00:00Z",
            "users": 10,
            "items": 20,
            "training": {"from": "2026-01-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"},
            "settings": {"rank": 64, "regularisation": 1.0, "alpha": 40.0, "iterations": 15, "time_zone": "UTC"},
            "composition": {"neighbours": 1.0, "live": 0.0, "trends": [{"half_life_h": 6.0, "weight": 1.0}]},
            "search": {"tried": {"factors": 8, "personal": 90}},
            "metrics": {"warm": {"hr@3": [0.0402, 0.0356, 0.0457]}, "all": {"hr@3": [0.0662, 0.0584, 0.0718]}},
            "gate": gate(),
            **content,
        }
    ).encode()


@pytest.fixture
def bucket() -> Bucket:
    """Three versions, the second live, the first before it; the third was refused."""
    bucket = Bucket()
    refused = {"gate": gate("refused", reason=REFUSED_WORDS)}
    for version, content in ((OLD, {"composition": {"factors": 1.0}}), (LAST, {}), (NEW, refused)):
        bucket.objects[f"models/als/{version}/manifest.json"] = manifest(version, **content)
    bucket.objects[POINTER] = json.dumps({"version": LAST, "previous": OLD}).encode()
    return bucket


def run(bucket: Bucket, *arguments: str) -> str:
    options = command_parser().parse_args(arguments)
    return "\n".join(options.command(bucket, options))


def test_the_list_tells_what_serves_and_how_good_it_is(bucket: Bucket) -> None:
    newest, live, before = run(bucket, "list").splitlines()
    assert newest.split() == [*f"{NEW} refused (candidate)".split(), *live.split()[4:]]
    assert live.startswith(f"{LAST}  live ")
    assert live.endswith("hits of 1,000 orders: warm 40.2 (35.6 to 45.7), all 66.2 (58.4 to 71.8)")
    assert before.startswith(f"{OLD}  before ")


def test_an_empty_registry_tells_how_to_begin() -> None:
    assert run(Bucket(), "list").startswith("no model is published yet")


def test_one_version_in_words(bucket: Bucket) -> None:
    shown = run(bucket, "show", NEW)
    assert "rank 64, regularisation 1, alpha 40, iterations 15" in shown
    assert "neighbours 1, trends 1 × half-life 6 h" in shown
    assert "98 trials" in shown
    assert REFUSED_WORDS in shown
    assert "  popularity hits of 1,000 orders: warm 40.0 (35.0 to 45.0)  It is worse." in shown
    assert "  FAILED     files are whole: 14 files" in shown


def test_two_versions_side_by_side(bucket: Bucket) -> None:
    lines = run(bucket, "compare", OLD, LAST).splitlines()
    differing = [line[2:24].strip() for line in lines if line.startswith("*")]
    assert differing == ["version", "role", "composition"]
    place = next(number for number, line in enumerate(lines) if line.startswith("* composition"))
    assert lines[place].endswith(" factors 1")
    assert lines[place + 1].strip() == "neighbours 1, trends 1 × half-life 6 h"


def test_a_manifest_of_nothing_is_shown_all_the_same() -> None:
    assert set(facts(ManifestSummary(version="v"), None).values()) == {"v", "–", "– to –", "–, –", "0 trials"}


def test_activate_and_roll_back(bucket: Bucket) -> None:
    assert run(bucket, "activate", OLD, "--note", "sale") == f"{OLD} serves"
    pointer, _etag = read_pointer(bucket)
    assert pointer is not None
    assert (pointer.version, pointer.previous, pointer.note) == (OLD, LAST, "sale")
    assert (pointer.activated_by or "").endswith(" by command line")
    assert run(bucket, "rollback", "--note", "it was the other") == f"{LAST} serves"


def test_a_refused_version_needs_a_note(bucket: Bucket) -> None:
    with pytest.raises(RefusedByGate, match="customer 9 gets nothing"):
        run(bucket, "activate", NEW)
    assert run(bucket, "activate", NEW, "--note", "customer 9 is a test") == f"{NEW} serves"


def test_variants(bucket: Bucket) -> None:
    shown = run(bucket, "activate", OLD, "--variant", "old", "--weight", "0.25")
    assert shown == f"{LAST} serves; old: {OLD} for 25% of the customers"
    assert run(bucket, "list").splitlines()[-1].startswith(f"{OLD}  old 25% ")
    with pytest.raises(InvalidVariants):
        run(bucket, "activate", OLD, "--variant", "more", "--weight", "0.75")
    assert run(bucket, "activate", "--stop-variant", "old") == f"{LAST} serves"


def test_nothing_to_roll_back_to() -> None:
    with pytest.raises(NothingBefore):
        run(Bucket(), "rollback")


@pytest.mark.parametrize(
    "arguments",
    [
        ["activate"],
        ["activate", OLD, "--stop-variant", "old"],
        ["activate", OLD, "--variant", "old", "--weight", "1"],
        ["activate", OLD, "--variant", "old", "--weight", "nan"],
        ["show"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command_parser().parse_args(arguments)
    assert stopped.value.code == 2
    assert "usage: python -m services.models" in capsys.readouterr().err


def test_a_bucket_out_of_reach_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLSTREAM_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("TILLSTREAM_S3_ACCESS_KEY", "key")
    monkeypatch.setenv("TILLSTREAM_S3_SECRET_KEY", "secret")
    assert main(["list"]) == 1
    assert capsys.readouterr().err.startswith("error: the bucket")
