"""The main job on real engines: every figure exact, whatever the messages look like and whatever is killed."""

import json
from contextlib import closing
from itertools import pairwise

import pytest

from local.producer_run import ProducerRun
from local.reference import ReferenceFigures
from local.verify import compare_report
from tests.support.live_shop import LiveShop, assert_archive_exact, assert_exact, figures, summary
from tests.support.polling import wait_until
from tests.support.shop import seed_rows

pytestmark = pytest.mark.timeout(600)


def test_figures_of_files_sent_by_the_producer_are_exact(stack: LiveShop) -> None:
    assert_exact(stack)


def test_figures_of_bare_messages_without_key_and_event_id_are_exact(stack: LiveShop) -> None:
    rows = seed_rows(seed=1, count=3_000)
    assert any(row == other for row, other in pairwise(rows)), "two equal lines are two pieces"
    assert any(len(row) == 6 and row[5] for row in rows), "a short row's customer stands in the brand"
    stack.send_bare(rows[:1_500], absent="")
    stack.send_bare(rows[1_500:], absent=None)
    assert_exact(stack)


def test_a_file_sent_again_counts_once(stack: LiveShop) -> None:
    before = summary(stack)
    stack.resume(ProducerRun(stack.history[0], "max"), from_start=True)
    assert summary(stack)["lag"] == 0
    assert_exact(stack)
    assert figures(summary(stack)) == figures(before)


def test_the_batch_report_of_the_history_is_exact(stack: LiveShop) -> None:
    with closing(stack.store()) as store:
        version = json.loads(store.get("reports/latest.json"))["version"]
        report = json.loads(store.get(f"reports/{version}/figures.json"))
    with closing(ReferenceFigures(stack.history)) as reference:
        comparisons = compare_report(reference, report)
    assert sum(each.compared for each in comparisons) > 1_000
    assert [each for each in comparisons if each.differences] == []


def test_what_is_no_purchase_is_counted_once_and_stops_nothing(stack: LiveShop) -> None:
    stack.send_no_purchases(
        [None, b"", b"\xff\xfe", b"not json", b"[]", b'{"order_id":1}', b'{"price":"\xff"}', b"x" * 100_000]
    )
    assert_exact(stack)


def test_a_customer_gets_three_products_that_are_new_to_them(stack: LiveShop) -> None:
    with closing(ReferenceFigures(stack.history)) as reference:
        best = str(reference.top("spenders", 1)["1. id"])
    answer = stack.get(f"/v1/users/{best}/recommendations?k=3")
    assert answer["strategy"] == "personal"
    assert answer["model_version"] == summary(stack)["model_version"] is not None
    products = [item["product_id"] for item in answer["items"]]
    assert len(set(products)) == 3
    bought = {line["product_id"] for line in stack.get(f"/v1/users/{best}")["purchases"]}
    assert not bought & set(products)


def test_an_unknown_customer_gets_three_popular_products(stack: LiveShop) -> None:
    answer = stack.get("/v1/users/nobody/recommendations?k=3")
    assert answer["strategy"] == "popular"
    assert len(answer["items"]) == 3


def test_kill_9_of_every_service_in_mid_load_leaves_figures_and_archive_exact(stack: LiveShop) -> None:
    # Slow enough to last until the end, however long the restarts take: the rest is then sent at full speed.
    run = stack.prepare(seed_rows(seed=2, count=6_000), rate="50")
    producer = stack.start_producer(run)
    for name in ("aggregator", "archiver", "recommender", "gateway"):
        wait_for_arrivals(stack)
        stack.kill(name)
        if name == "recommender":
            assert_popular_instead(stack)
        stack.restart(name)
    wait_for_arrivals(stack)
    assert producer.alive
    producer.kill()
    stack.resume(run)
    assert_exact(stack)
    assert_archive_exact(stack)


def assert_popular_instead(shop: LiveShop) -> None:
    with closing(ReferenceFigures(shop.history)) as reference:
        best = reference.top("spenders", 1)["1. id"]
    answer = shop.get(f"/v1/users/{best}/recommendations?k=3")
    assert answer["strategy"] == "popular_fallback"
    assert len(answer["items"]) == 3


def wait_for_arrivals(shop: LiveShop) -> None:
    """Wait until some more lines are in the tables."""
    before = summary(shop)["events"]
    wait_until(lambda: summary(shop)["events"] >= before + 50, "50 more lines in the tables")
