"""The page in a real browser, on the real stack."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.e2e.browser import launch
from tests.e2e.conftest import LiveShop
from tests.shop import seed_rows

pytestmark = pytest.mark.timeout(600)

PHONE: ViewportSize = {"width": 360, "height": 780}
DESK: ViewportSize = {"width": 1280, "height": 800}
WALL: ViewportSize = {"width": 3840, "height": 2160}
# A purchase has to come through the whole stack on a busy machine.
SOON_MS = 30_000

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the browser's console complained of; a test takes out what it expects."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def open_page(browser: Browser, stack: LiveShop, complaints: list[str]) -> Iterator[OpenPage]:
    """Opens the page, live, in a context of its own. An error in its console fails the test."""
    contexts = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def note_error(error: Error) -> None:
        complaints.append(str(error))

    def open_(query: str = "", **context: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": DESK, "locale": "en-US", **context}))
        page = contexts[-1].new_page()
        page.on("console", note)
        page.on("pageerror", note_error)
        page.goto(f"{stack.url}/{query}")
        expect(page.get_by_test_id("connection")).to_have_text("Live", timeout=SOON_MS)
        return page

    yield open_
    for context in contexts:
        context.close()


def figure(page: Page, name: str) -> Locator:
    """The value of one of the live figures."""
    return page.get_by_test_id(f"figure-{name}")


def panel(page: Page, title: str) -> Locator:
    """The panel with this title."""
    return page.get_by_role("region", name=title, exact=True)


def aside(work: Callable[[], object]) -> None:
    """Do this in a thread: in ours Playwright keeps an event loop running, beside which none can be started."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result()


def dollars(money: str) -> str:
    """A decimal string as the page shows it in en-US, by string work alone."""
    sign = "-" if money.startswith("-") else ""
    whole, cents = money.removeprefix("-").split(".")
    return f"{sign}${int(whole):,}.{cents}"


def assert_shows_summary(page: Page, stack: LiveShop) -> None:
    summary = stack.get("/v1/stats/summary")
    expect(figure(page, "revenue")).to_have_text(dollars(summary["revenue"]), timeout=SOON_MS)
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


def test_a_customer_found_by_the_start_of_an_id_gets_three_products(stack: LiveShop, open_page: OpenPage) -> None:
    customer = stack.get("/v1/users?limit=20")[-1]
    assert len(customer) == 19
    page = open_page()
    search = page.get_by_role("combobox", name="Customer id")
    search.fill(customer[:-1])
    option = page.get_by_role("option", name=customer, exact=True)
    expect(option).to_be_visible()
    while option.get_attribute("aria-selected") != "true":
        search.press("ArrowDown")
    search.press("Enter")
    assert_shows_customer(page, stack, customer)
    page.reload()
    assert_shows_customer(page, stack, customer)


def assert_shows_customer(page: Page, stack: LiveShop, customer: str) -> None:
    """The whole id, what they spent, and the three products of the API with reason, strategy and model."""
    expect(page.get_by_test_id("customer id")).to_have_text(customer)
    assert int(customer) > 2**53
    shown = panel(page, "Customer")
    expect(shown).to_contain_text(dollars(stack.get(f"/v1/users/{customer}")["revenue"]))
    answer = stack.get(f"/v1/users/{customer}/recommendations?k=3")
    cards = page.get_by_test_id("recommendation")
    expect(cards).to_have_count(3)
    for card, item in zip(cards.all(), answer["items"], strict=True):
        expect(card.get_by_test_id("product id")).to_have_text(item["product_id"])
        expect(card).to_contain_text(dollars(item["price"]))
        expect(card).to_contain_text(item["brand"])
        expect(card).to_contain_text(f"{item['score']:.3f}")
        expect(card.get_by_test_id("reason")).not_to_be_empty()
    expect(page.get_by_test_id("strategy")).to_have_attribute("data-strategy", answer["strategy"])
    expect(page.get_by_test_id("strategy")).to_contain_text(answer["model_version"])


def test_a_newcomer_sees_a_customer_without_typing(stack: LiveShop, open_page: OpenPage) -> None:
    first, second = stack.get("/v1/users?limit=2")
    page = open_page()
    assert_shows_customer(page, stack, first)
    panel(page, "Customer").get_by_role("button", name=second, exact=True).click()
    assert_shows_customer(page, stack, second)


def test_a_customer_nobody_knows_gets_popular_products(open_page: OpenPage, complaints: list[str]) -> None:
    stranger = "a stranger/1 & <b>"
    page = open_page(f"?customer={quote(stranger)}")
    expect(page.get_by_test_id("customer id")).to_have_text(stranger)
    expect(page.get_by_test_id("unknown-customer")).to_be_visible()
    expect(page.get_by_test_id("recommendation")).to_have_count(3)
    expect(page.get_by_test_id("strategy")).to_contain_text("Popular")
    assert "404" in complaints.pop(), "no such customer: the browser itself notes the gateway's answer"


def test_charts_are_drawn_and_their_tables_hold_the_figures(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page()
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
        expect(canvas).to_be_visible(timeout=SOON_MS)
        page.wait_for_function(IS_DRAWN, arg=canvas.element_handle())
        chart.get_by_role("button", name=f"{title} as a table").click()
        column = [row.get_by_role("cell").nth(1).inner_text() for row in chart.get_by_role("row").all()[1:]]
        assert column[: len(revenues)] == revenues


# More than a few colours: a chart, not an empty canvas or one with nothing but a background.
IS_DRAWN = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) colours.add(data[at] + "," + data[at + 1] + "," + data[at + 2]);
  return colours.size > 10;
}"""


# The token `canvas` of web/src/styles/tokens.css.
LIGHT, DARK = "rgb(244, 246, 248)", "rgb(12, 16, 20)"


def test_the_theme_follows_the_system_until_the_viewer_chooses(open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark")
    body = page.locator("body")
    expect(body).to_have_css("background-color", DARK)
    page.emulate_media(color_scheme="light")
    expect(body).to_have_css("background-color", LIGHT)
    page.get_by_role("button", name="Switch to dark theme").click()
    expect(body).to_have_css("background-color", DARK)
    page.reload()
    expect(body).to_have_css("background-color", DARK)


@pytest.mark.parametrize("viewport", [PHONE, DESK, WALL], ids=["phone", "desk", "wall"])
def test_nothing_is_wider_than_the_screen(open_page: OpenPage, viewport: ViewportSize) -> None:
    page = open_page(viewport=viewport)
    expect(page.get_by_test_id("recommendation")).to_have_count(3)
    expect(page.locator("canvas")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    cut = page.evaluate(
        """() => [...document.querySelectorAll("[data-testid^=figure-]")]
             .filter((figure) => figure.scrollWidth > figure.clientWidth)
             .map((figure) => figure.textContent)"""
    )
    assert cut == []


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
        expect(page.get_by_test_id("not-live")).to_contain_text("they do not move", timeout=SOON_MS)
        expect(page.get_by_test_id("connection")).to_have_text("Not live")
        expect(page.get_by_test_id("figures")).to_have_attribute("data-live", "false")
        expect(figure(page, "revenue")).to_contain_text("$")
        context.unroute(STREAM)
        expect(page.get_by_test_id("connection")).to_have_text("Live", timeout=SOON_MS)
        expect(page.get_by_test_id("not-live")).to_have_count(0)
        assert_shows_summary(page, stack)


STREAM = "**/v1/stats/stream*"


def stream_beginning(stack: LiveShop) -> bytes:
    """The stream up to its first snapshot, as a connection that breaks right after has carried it."""
    with urlopen(f"{stack.url}/v1/stats/stream", timeout=10) as stream:
        lines: list[bytes] = []
        while not (lines and lines[-1].startswith(b"data:")):
            lines.append(stream.readline())
    return b"".join(lines) + b"\n"
