"""Dead letters repaired and replayed on the whole stack: they count once, live and in the batch report."""

import csv
import json
from contextlib import closing
from pathlib import Path

import pytest

from local.reference import ReferenceFigures
from local.steps import run_batch_job, wait_settled
from local.verify import compare_report
from tests.support.live_shop import LiveShop, assert_archive_exact, assert_exact, figures, summary
from tests.support.shop import SEED_COLUMNS, Row

pytestmark = pytest.mark.timeout(600)

WHEN = "2020-05-31 12:00:00 UTC"
REPAIRS = f"""
def repair(event, letter):
    if letter.reason == "bad_time":
        event["event_time"] = "{WHEN}"
    if event.get("price") == "NO PRICE":
        event["price"] = "12.50"
    return event
"""
OWN = dict(zip(SEED_COLUMNS, [WHEN, "order-1", "product-1", "", "", "", "12.50", "user-1"], strict=True))


def deadletters(shop: LiveShop, *arguments: str) -> int:
    """The exit status of the command line."""
    done = shop.command("services.deadletters", *arguments)
    print(done.stdout, done.stderr)
    return done.returncode


def repaired_rows(file: Path) -> list[Row]:
    """The rows of a file that have a bad time, of the past or the future, with the time that the repair gives them."""
    with file.open(newline="", encoding="utf-8") as text:
        rows = [[WHEN, *row[1:]] for row in csv.reader(text) if row[0][:4] in ("1970", "2099") and len(row) in (6, 8)]
    assert {len(row) for row in rows} == {6, 8}, "short rows are repaired too"
    return rows


def test_replayed_dead_letters_count_once_live_and_in_the_batch_report(stack: LiveShop) -> None:
    source = stack.history[0]
    rows = repaired_rows(source)
    (stack.folder / "repairs.py").write_text(REPAIRS)
    stack.send_no_purchases([json.dumps(OWN | {"event_id": "own-identity", "price": "NO PRICE"}).encode()])
    assert deadletters(stack, "repair", "--with", "repairs.py", "--reason", "bad_time", "--source", source.name) == 0
    replay_all(stack)
    stack.describe([*rows, [*OWN.values()]])
    assert_exact(stack)

    before = figures(summary(stack))
    replay_all(stack)
    assert figures(summary(stack)) == before
    assert_exact(stack)
    assert_archive_exact(stack)
    assert_report_exact(stack)


def replay_all(shop: LiveShop) -> None:
    """Replay the file of repaired rows, and the topic's bad prices in one go; not all of those can be repaired."""
    assert deadletters(shop, "replay", "repaired.jsonl", "--yes") == 0
    topic = shop.settings.purchases_topic
    chosen = ("--source", topic, "--reason", "bad_price")
    assert deadletters(shop, "replay", "--with", "repairs.py", *chosen, "--yes") in (0, 1)
    wait_settled(shop.stack)


def assert_report_exact(shop: LiveShop) -> None:
    run_batch_job(shop.stack, "run", "--until", "report")
    with closing(shop.store()) as store:
        version = json.loads(store.get("reports/latest.json"))["version"]
        report = json.loads(store.get(f"reports/{version}/figures.json"))
    with closing(ReferenceFigures(shop.files)) as reference:
        comparisons = compare_report(reference, report)
    assert [each for each in comparisons if each.differences] == []
