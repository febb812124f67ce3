"""The page in a real browser, on the real stack."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.browser import DESK, OpenPage, aside, dollars, figure, follow_system, panel
from tests.support.live_shop import LiveShop
from tests.support.shop import seed_rows

pytestmark = pytest.mark.timeout(600)


def assert_shows_summary(page: Page, stack: LiveShop) -> None:
    summary = stack.get("/v1/stats/summary")
    expect(figure(page, "revenue")).to_have_text(dollars(summary["revenue"]))
    for name in ("orders", "quantity", "buyers", "dead_letters"):
        expect(figure(page, name)).to_have_text(f"{summary[name]:,}")
    expect(figure(page, "model")).to_have_text(summary["model_version"])


def test_the_page_shows_the_figures_of_the_shop(stack: LiveShop, open_page: OpenPage) -> None:
    assert_shows_summary(open_page(), stack)


# Notes every text that these figures show from now on.
WATCH = """() => {
  window.seen = {};
  for (const name of ["revenue", "events_per_second"]) {
    const figure = document.querySelector(`[data-testid=figure-${name}]`);
    window.seen[name] = [];
    const note = () => window.seen[name].push(figure.textContent);
    new MutationObserver(note).observe(figure, { characterData: true, childList: true, subtree: true });
  }
}"""


def test_figures_and_ticker_move_while_purchases_stream(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page()
    assert_shows_summary(page, stack)
    page.evaluate(WATCH)
    aside(lambda: stack.replay(seed_rows(seed=30, count=200), rate="50"))
    assert_shows_summary(page, stack)
    seen = page.evaluate("window.seen")
    assert len(set(seen["revenue"])) >= 3, "a snapshot a second, and the stream took four"
    assert any(float(rate) > 1 for rate in seen["events_per_second"])
    expect(figure(page, "freshness")).to_contain_text(" s")
    ticker = page.get_by_test_id("ticker")
    assert ticker.get_by_role("listitem").count() >= 20
    expect(ticker.get_by_text("anonymous").first).to_be_visible()
    expect(page.get_by_test_id("connection")).to_have_text("Live")


def test_the_top_lists_and_the_books_are_those_of_the_gateway(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/")
    for board in ("spenders", "products", "categories", "brands"):
        expected = [dollars(entry["revenue"]) for entry in stack.get(f"/v1/stats/top/{board}?n=10")]
        places = page.get_by_test_id(f"top-{board}").get_by_role("listitem")
        expect(places).to_have_count(len(expected))
        assert [place.locator(".number").first.inner_text() for place in places.all()] == expected
    books = stack.get("/v1/stats/reconciliation")
    expect(page.get_by_test_id("books")).to_have_attribute("data-status", books["status"])
    (best,) = stack.get("/v1/users?limit=1")
    page.get_by_test_id("top-spenders").get_by_role("link").first.click()
    expect(page).to_have_url(f"{stack.url}/customers/{best}")


def test_the_newest_day_stands_beside_the_totals(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page()
    today = stack.get("/v1/stats/summary")["today"]
    day = f"{datetime.fromisoformat(today['bucket']):%b %-d, %Y}"
    for name, value in (
        ("revenue", dollars(today["revenue"])),
        ("orders", today["orders"]),
        ("quantity", today["quantity"]),
    ):
        expect(page.get_by_test_id(f"today-{name}")).to_have_text(f"{value} on {day}")
    expect(page.get_by_test_id("today-buyers")).to_contain_text("since you opened this page")
    expect(page.get_by_role("img", name=re.compile("the 30 days up to the newest"))).to_have_count(3)


# Sees where the line stands at each frame of two seconds.
FRAMES = """() => new Promise((done) => {
  const line = document.querySelector("[data-testid='moving line']");
  const frames = [];
  const frame = (at) => {
    frames.push([at, new DOMMatrix(getComputedStyle(line).transform).m41]);
    if (at - frames[0][0] < 2_000) requestAnimationFrame(frame);
    else done(frames);
  };
  requestAnimationFrame(frame);
})"""


def test_a_line_of_a_thousand_points_moves_at_every_frame(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page()
    now = datetime.now(UTC)
    readings = [
        {"as_of": (now - timedelta(seconds=1_000 - second)).isoformat(), "revenue": f"{second**2}.00", "events": second}
        for second in range(1_001)
    ]
    page.route("**/v1/stats/pulse", lambda route: route.fulfill(json=readings))
    page.reload()
    page.get_by_role("radio", name="16 minutes").check()
    frames = page.evaluate(FRAMES)
    moved = [after[1] != before[1] for before, after in pairwise(frames)]
    assert len(frames) > 30, "at least 15 frames a second on a machine that has more to do; the bench says how many"
    assert sum(moved) / len(moved) > 0.9
    minutes = panel(page, "The last minutes")
    minutes.get_by_role("button", name="The last minutes as a table").click()
    assert minutes.get_by_role("row").count() >= 1_000


def test_freshness_is_measured_from_the_brokers_time_to_the_screen(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page()
    expect(figure(page, "freshness")).to_have_text("—")
    aside(lambda: stack.replay(seed_rows(seed=31, count=40), rate="20"))
    expect(figure(page, "freshness")).to_have_text(re.compile(r"^(< )?\d+(\.\d)? s$"))


def test_freshness_does_not_ask_the_browsers_own_clock(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page()
    page.add_init_script("const now = Date.now; Date.now = () => now() + 3_600_000;")
    page.reload()
    expect(page.get_by_test_id("connection")).to_have_text("Live")
    aside(lambda: stack.replay(seed_rows(seed=32, count=40), rate="20"))
    expect(figure(page, "freshness")).to_have_text(re.compile(r" s$"))


def test_dead_letters_lead_to_what_they_are(open_page: OpenPage) -> None:
    page = open_page("/")
    page.get_by_test_id("figures").get_by_role("link", name="what they are").click()
    expect(page).to_have_title("System · Tillstream")


# The token `canvas` of web/src/styles/tokens.css.
LIGHT, DARK = "rgb(244, 246, 248)", "rgb(12, 16, 20)"


def test_the_theme_follows_the_system_until_the_viewer_chooses(open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark")
    body = page.locator("body")
    expect(body).to_have_css("background-color", DARK)
    follow_system(page, "light")
    expect(body).to_have_css("background-color", LIGHT)
    page.get_by_role("button", name="Switch to dark theme").click()
    expect(body).to_have_css("background-color", DARK)
    page.reload()
    expect(body).to_have_css("background-color", DARK)


def test_a_lost_stream_is_said_and_comes_back_by_itself(stack: LiveShop, browser: Browser) -> None:
    beginnings = [stream_beginning(stack)]

    def only_once(route: Route) -> None:
        if beginnings:
            route.fulfill(content_type="text/event-stream", body=beginnings.pop())
        else:
            route.abort()

    with browser.new_context(viewport=DESK, locale="en-US") as context:
        context.route(STREAM, only_once)
        page = context.new_page()
        page.goto(stack.url)
        expect(page.get_by_test_id("not-live")).to_contain_text("they are not updating")
        expect(page.get_by_test_id("connection")).to_have_text("Not live")
        expect(page.get_by_test_id("figures")).to_have_attribute("data-live", "false")
        expect(figure(page, "revenue")).to_contain_text("$")
        context.unroute(STREAM)
        expect(page.get_by_test_id("connection")).to_have_text("Live")
        expect(page.get_by_test_id("not-live")).to_have_count(0)
        assert_shows_summary(page, stack)


STREAM = "**/v1/stats/stream*"


def stream_beginning(stack: LiveShop) -> bytes:
    """The stream up to its first snapshot, as a connection that breaks right after has carried it."""
    with urlopen(f"{stack.url}/v1/stats/stream", timeout=60) as stream:
        lines: list[bytes] = []
        while not (lines and lines[-1].startswith(b"data:")):
            lines.append(stream.readline())
    return b"".join(lines) + b"\n"
