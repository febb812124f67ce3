"""The whole stack on free ports: real engines, every service, one made-up shop loaded and one model trained."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright

from local.steps import train, wait_gateway
from tests.support.browser import DESK, SOON_MS, OpenPage, launch
from tests.support.live_shop import LiveShop
from tests.support.shop import TILL_COLUMNS, seed_rows, till_rows

expect.set_options(timeout=SOON_MS)

HISTORY_SEED = 424
HISTORY_ROWS = 3_000


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    """A running shop with history and a model. Tests add to it, so a test compares with all of `files`."""
    shop = LiveShop(tmp_path_factory.mktemp("shop"))
    try:
        shop.stack.start()
        shop.replay(seed_rows(HISTORY_SEED, HISTORY_ROWS))
        shop.replay(till_rows(HISTORY_SEED + 1, HISTORY_ROWS // 3), TILL_COLUMNS)
        train(shop.stack)
        wait_gateway(shop.stack)
        yield shop
    finally:
        shop.stack.stop()


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

    def open_(path: str = "/", **context: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": DESK, "locale": "en-US", **context}))
        page = contexts[-1].new_page()
        page.on("console", note)
        page.on("pageerror", note_error)
        page.goto(f"{stack.url}{path}")
        expect(page.get_by_test_id("connection")).to_have_text("Live")
        return page

    yield open_
    for context in contexts:
        context.close()
