"""The view of the system in a real browser, on the real stack."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import OpenPage, panel
from tests.support.live_shop import LiveShop

pytestmark = pytest.mark.timeout(600)


def assert_part(page: Page, name: str, status: str) -> None:
    """The part's box in the picture that is shown at this width."""
    box = page.locator(f"svg:visible [data-testid=part-{name}]")
    expect(box).to_have_attribute("data-status", status)


def test_a_part_that_is_down_turns_red_and_recovers(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/system")
    assert_part(page, "aggregator", "ok")
    with frozen(stack, "aggregator"):
        assert_part(page, "aggregator", "unreachable")
        arrow = page.locator("svg:visible [data-testid=arrow-kafka-aggregator]")
        expect(arrow).to_have_attribute("data-broken", "true")
        expect(page.locator("svg:visible [data-testid=arrow-kafka-archiver]")).to_have_attribute("data-broken", "false")
        expect(page.locator("svg:visible [data-testid=arrow-kafka-recommender]")).to_have_attribute(
            "data-broken", "false"
        )
        expect(page.get_by_role("img", name="Data flow: Aggregator is down.")).to_be_visible()
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="aggregator"))
        expect(row).to_contain_text("Down")
    assert_part(page, "aggregator", "ok")
    expect(page.get_by_role("img", name="Data flow: all components are healthy.")).to_be_visible()


@contextmanager
def frozen(stack: LiveShop, name: str) -> Iterator[None]:
    """The service stands still meanwhile: it is there, and does not answer."""
    process = stack.stack.process(name)
    assert process is not None
    os.kill(process.identity.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.identity.pid, signal.SIGCONT)


def test_dead_letters_are_told_by_reason(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/system")
    expected = stack.get("/v1/stats/dead-letters")
    assert sum(each["count"] for each in expected) == stack.get("/v1/stats/summary")["dead_letters"] > 0
    table = panel(page, "Dead letters").get_by_test_id("dead letters")
    expect(table).to_be_visible()
    shown = {
        row.get_by_role("rowheader").inner_text(): row.get_by_role("cell").inner_text()
        for row in table.get_by_role("row").all()[1:]
    }
    assert shown == {each["reason"].replace("_", " "): f"{each['count']:,}" for each in expected}


def test_arrows_tell_what_flows_along_them(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/system")
    arrow = page.locator("svg:visible [data-testid=arrow-gateway-page]")
    expect(arrow).to_contain_text(re.compile(r"\d+ open"))
    answers = page.locator("svg:visible [data-testid=arrow-recommender-gateway]")
    expect(answers).to_contain_text("0.0/s")
    (customer,) = stack.get("/v1/users?limit=1")
    for _ in range(60):
        stack.get(f"/v1/users/{customer}/recommendations?k=3")
    expect(answers).not_to_contain_text("0.0/s")
