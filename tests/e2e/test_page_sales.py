"""The sales view in a real browser, on the real stack."""

import csv
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import SOON_MS, OpenPage, aside, dollars, panel
from tests.support.live_shop import LiveShop
from tests.support.shop import seed_rows

pytestmark = pytest.mark.timeout(600)


def column(page: Page, title: str, number: int) -> list[str]:
    """The texts of one column of a chart's table, which is opened where it is not."""
    chart = panel(page, title)
    button = chart.get_by_role("button", name=f"{title} as a table")
    if button.get_attribute("aria-pressed") != "true":
        button.click()
    expect(chart.get_by_role("table")).to_be_visible()
    return [row.get_by_role("cell").nth(number).inner_text() for row in chart.get_by_role("row").all()[1:]]


def test_charts_are_drawn_and_their_tables_hold_the_figures(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/sales")
    months = stack.get("/v1/stats/sales?granularity=month")
    spenders = stack.get("/v1/stats/top/spenders?n=10")
    categories = stack.get("/v1/stats/top/categories?n=15")
    best = next(category["id"] for category in categories if category["id"] != "unknown")
    best_months = stack.get(f"/v1/stats/sales?granularity=month&category={best}")
    expected = {
        "Sales by month": [dollars(month["revenue"]) for month in months],
        "Top ten customers": [dollars(spender["revenue"]) for spender in spenders],
        "Top fifteen categories": [dollars(category["revenue"]) for category in categories],
        "Best-selling category": [dollars(month["revenue"]) for month in best_months],
    }
    for title, revenues in expected.items():
        chart = panel(page, title)
        canvas = chart.locator("canvas")
        expect(canvas).to_be_visible()
        page.wait_for_function(IS_DRAWN, arg=canvas.element_handle())
        # Charts show months without a sale as well, between those that had some.
        shown = [text for text in column(page, title, 1) if text != dollars("0.00")]
        assert shown[: len(revenues)] == revenues


# More than a few colours: a chart, not an empty canvas or one with nothing but a background.
IS_DRAWN = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) colours.add(data[at] + "," + data[at + 1] + "," + data[at + 2]);
  return colours.size > 10;
}"""


# A pixel that is no shade of grey or ink.
IS_COLOURED = """() => [...document.querySelectorAll("main canvas")].some((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < data.length; at += 4) {
    const channels = data.slice(at, at + 3);
    if (data[at + 3] === 255 && Math.max(...channels) - Math.min(...channels) > 80) return true;
  }
  return false;
})"""


def test_charts_have_their_colours_where_motion_is_not_wanted(open_page: OpenPage) -> None:
    page = open_page("/sales", reduced_motion="reduce")
    page.wait_for_function(IS_COLOURED, timeout=SOON_MS)


def test_the_address_holds_what_was_chosen(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/sales")
    page.get_by_role("radio", name="Day", exact=True).check()
    page.get_by_label("From", exact=True).fill("2020-03-10")
    page.get_by_label("To", exact=True).fill("2020-03-12")
    page.get_by_role("combobox", name="Category", exact=True).select_option("electronics")
    page.get_by_role("checkbox", name="Compare").check()
    expect(page.get_by_role("radio", name="Minute")).to_be_disabled()
    address = page.url
    expected = days_of(stack, "2020-03-10", "2020-03-13")
    before = days_of(stack, "2020-03-07", "2020-03-10")
    for _first_and_reloaded in range(2):
        expect(page.get_by_test_id("range totals")).to_contain_text("on the period before")
        assert column(page, "Sales by day", 1) == expected
        assert column(page, "Sales by day", 4) == before
        page.goto(address)
    page.go_back()
    page.get_by_role("link", name="Now", exact=True).click()
    expect(page.get_by_test_id("figures")).to_be_visible()


def days_of(stack: LiveShop, first: str, end: str) -> list[str]:
    """Revenue of electronics a day, as the page shows it."""
    query = f"granularity=day&category=electronics&from={first}T00:00:00Z&to={end}T00:00:00Z"
    days: list[Any] = stack.get(f"/v1/stats/sales?{query}")
    assert len(days) == 3
    return [dollars(day["revenue"]) for day in days]


def test_the_csv_holds_the_exact_figures(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/sales?by=hour&range=7d")
    button = page.get_by_role("button", name="Sales by hour as CSV")
    expect(button).to_be_enabled()
    with page.expect_download() as download:
        button.click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    sold = {row["Hour"]: row["Revenue"] for row in rows if row["Orders"] != "0"}
    last = max(row["Hour"] for row in rows)
    hours = stack.get("/v1/stats/sales?granularity=hour")
    assert last[:16] == hours[-1]["bucket"][:16]
    shown = {hour["bucket"][:16]: hour["revenue"] for hour in hours if hour["bucket"][:16] in {at[:16] for at in sold}}
    assert {at[:16]: revenue for at, revenue in sold.items()} == shown
    assert len(shown) > 24


def test_categories_are_entered_level_by_level(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/sales")
    top = stack.get("/v1/stats/top/categories?n=1000")
    column(page, "Categories", 0)
    for code in ("electronics", "electronics.audio"):
        panel(page, "Categories").get_by_role("button", name=code.rpartition(".")[2], exact=True).click()
        expect(page).to_have_url(re.compile(rf"[?&]in={re.escape(code)}(&|$)"))
    (headphone,) = [each for each in top if each["id"] == "electronics.audio.headphone"]
    assert column(page, "Categories", 0) == ["headphone"]
    assert column(page, "Categories", 1) == [dollars(headphone["revenue"])]
    page.go_back()
    expect(panel(page, "Categories").get_by_text("smartphone")).to_be_visible()


def test_rankings_follow_the_range_where_the_shop_keeps_days(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/sales?by=day&from=2020-03-10&to=2020-04-15")
    days = "from=2020-03-10T00:00:00Z&to=2020-04-16T00:00:00Z"
    for title, board, n in (("Top ten products", "products", 10), ("Top fifteen categories", "categories", 15)):
        expected = [dollars(entry["revenue"]) for entry in stack.get(f"/v1/stats/top/{board}?n={n}&{days}")]
        assert len(expected) > 5
        assert expected != [dollars(entry["revenue"]) for entry in stack.get(f"/v1/stats/top/{board}?n={n}")]
        assert column(page, title, 1)[: len(expected)] == expected
    for title, board in (("Top ten customers", "spenders"), ("Top ten brands", "brands")):
        expect(panel(page, title)).to_contain_text("does not follow the range")
        assert column(page, title, 1) == [dollars(entry["revenue"]) for entry in stack.get(f"/v1/stats/top/{board}")]


def test_a_link_to_a_chart_shows_it_as_it_was_left(open_page: OpenPage) -> None:
    page = open_page("/sales?by=day&range=30d", permissions=["clipboard-read", "clipboard-write"])
    shown = column(page, "Top ten customers", 0)
    page.get_by_role("button", name="Copy a link to Top ten customers").click()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.endswith("/sales?by=day&range=30d&tables=top-ten-customers#top-ten-customers")
    page.goto("about:blank")
    page.goto(link)
    expect(panel(page, "Top ten customers").get_by_role("table")).to_be_in_viewport()
    assert column(page, "Top ten customers", 0) == shown


def test_late_events_are_seen_to_change_what_was_shown(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/sales?by=day")
    expect(page.get_by_test_id("range totals")).to_be_visible()
    expect(page.get_by_test_id("restated")).to_have_count(0)
    aside(lambda: stack.replay(seed_rows(seed=41, count=20)))
    restated = page.get_by_test_id("restated")
    expect(restated).to_be_visible()
    restated.locator("summary").click()
    expect(restated.get_by_role("listitem").first).to_contain_text("$")
