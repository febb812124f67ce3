"""What all views of the page share: the budget of script, no address but the gateway's, and accessibility."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

from tests.support.browser import (
    DESK,
    PHONE,
    WALL,
    OpenPage,
    Theme,
    aside,
    dollars,
    figure,
    follow_system,
    serious_findings,
)
from tests.support.live_shop import LiveShop
from tests.support.shop import seed_rows

pytestmark = pytest.mark.timeout(600)

WEB = Path(__file__).parents[2] / "web"
FIRST_SCRIPT_BYTES = 250_000
"""Gzipped, before charts."""

STREAM = "**/v1/stats/stream*"
VIEWS = ["/", "/sales", "/customers", "/system", "/products", "/models"]


def test_the_first_script_stays_within_its_budget(open_page: OpenPage) -> None:
    """All script that is asked for until the figures show, charts apart."""
    page = open_page("/")
    expect(page.get_by_test_id("figures")).to_be_visible()
    names = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    scripts = {name for name in (Path(urlsplit(name).path).name for name in names) if name.endswith(".js")}
    first = [name for name in scripts if not name.startswith("EChart")]
    assert any(name.startswith("index-") for name in first)
    size = sum(len(gzip.compress((WEB / "dist" / "assets" / name).read_bytes())) for name in first)
    assert size <= FIRST_SCRIPT_BYTES


@pytest.fixture(scope="module", params=VIEWS)
def view(browser: Browser, stack: LiveShop, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A view with all its content, opened once for the tests that look at it in other sizes and colours."""
    context = browser.new_context(viewport=DESK, locale="en-US", bypass_csp=True)
    page = context.new_page()
    page.goto(f"{stack.url}{request.param}")
    expect(page.get_by_test_id("connection")).to_have_text("Live")
    wait_for_content(page)
    yield page
    context.close()


def test_nothing_is_asked_of_any_other_address(stack: LiveShop, view: Page) -> None:
    names = view.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert {urlsplit(name).netloc for name in names if not name.startswith("data:")} == {urlsplit(stack.url).netloc}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(view: Page, theme: Theme) -> None:
    follow_system(view, theme)
    # Colours on their way from one theme to the other are of neither.
    view.wait_for_function("document.getAnimations().every((each) => !(each instanceof CSSTransition))")
    assert serious_findings(view) == []


@pytest.mark.parametrize("viewport", [PHONE, DESK, WALL], ids=["phone", "desk", "wall"])
def test_nothing_is_wider_than_the_screen(view: Page, viewport: ViewportSize) -> None:
    view.set_viewport_size(viewport)
    # Until the charts have followed.
    view.wait_for_function("(width) => document.documentElement.scrollWidth === width", arg=viewport["width"])
    cut = view.evaluate(
        """() => [...document.querySelectorAll("[data-testid^=figure-]")]
             .filter((figure) => figure.scrollWidth > figure.clientWidth)
             .map((figure) => figure.textContent)"""
    )
    assert cut == []


# Some 3G: what a phone in the stockroom has. Bytes a second, milliseconds.
SLOW = {"offline": False, "latency": 300, "downloadThroughput": 50_000, "uploadThroughput": 30_000}


def test_a_slow_network_shows_the_frame_first_and_then_the_figures(stack: LiveShop, browser: Browser) -> None:
    with browser.new_context(viewport=PHONE, locale="en-US") as context:
        page = context.new_page()
        page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
        page.goto(f"{stack.url}/customers", wait_until="commit")
        expect(page.get_by_role("navigation").first).to_be_visible()
        expect(page.get_by_role("status").first).to_be_attached()
        expect(page.get_by_test_id("connection")).to_have_text("Live")
        expect(page.get_by_test_id("recommendation")).to_have_count(3)
        assert page.get_by_role("alert").count() == 0


@pytest.mark.parametrize("path", VIEWS)
def test_every_view_says_that_the_stream_is_lost_and_goes_on_when_it_is_back(
    stack: LiveShop, browser: Browser, path: str
) -> None:
    with browser.new_context(viewport=DESK, locale="en-US") as context:
        context.route(STREAM, lambda route: route.abort())
        page = context.new_page()
        page.goto(f"{stack.url}{path}")
        expect(page.get_by_test_id("not-live")).to_be_visible()
        expect(page.get_by_test_id("connection")).to_have_text("Not live")
        context.unroute(STREAM)
        expect(page.get_by_test_id("connection")).to_have_text("Live")
        expect(page.get_by_test_id("not-live")).to_have_count(0)
        wait_for_content(page)


def test_seven_tabs_are_live_and_stay_so_when_the_one_with_the_stream_closes(stack: LiveShop, browser: Browser) -> None:
    """A browser opens six connections to a host over HTTP/1.1, and a stream takes one for good."""
    with browser.new_context(viewport=DESK, locale="en-US") as context:
        streams: list[Page] = []

        def note(asked: Request) -> None:
            if "/v1/stats/stream" in asked.url:
                streams.append(asked.frame.page)

        context.on("request", note)
        tabs = [context.new_page() for _ in range(7)]
        for tab in tabs:
            tab.goto(stack.url, wait_until="commit")
        for tab in tabs:
            expect(tab.get_by_test_id("connection")).to_have_text("Live")
        leader = streams[-1]  # a tab that was starved for seconds may have taken the lead
        leader.close()
        aside(lambda: stack.replay(seed_rows(seed=91, count=20)))
        revenue = dollars(stack.get("/v1/stats/summary")["revenue"])
        for tab in tabs:
            if tab is not leader:
                expect(figure(tab, "revenue")).to_have_text(revenue)
                expect(tab.get_by_test_id("connection")).to_have_text("Live")


def test_views_are_reached_by_keyboard_and_have_their_names(open_page: OpenPage) -> None:
    page = open_page("/")
    expect(page).to_have_title("Now · Tillstream")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("link", name="Sales", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_title("Sales · Tillstream")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.get_by_role("link", name="Sales", exact=True)).to_have_attribute("aria-current", "page")
    page.go_back()
    expect(page.get_by_test_id("figures")).to_be_visible()


def test_an_address_that_is_none_says_so(open_page: OpenPage) -> None:
    page = open_page("/sales/yesterday")
    expect(page.get_by_role("main")).to_contain_text("There is no page at this address")


def wait_for_content(page: Page) -> None:
    """Return once nothing of the view is loading."""
    main = page.get_by_role("main")
    expect(main.get_by_role("region").first).to_be_visible()
    expect(main.get_by_text(re.compile("^Loading "))).to_have_count(0)
