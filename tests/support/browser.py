"""Chromium as the browser tests and the screenshots drive it, and what the tests look for on the page."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Locator, Page, Playwright, ViewportSize
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from local.browser import chromium

PHONE: ViewportSize = {"width": 360, "height": 780}
DESK: ViewportSize = {"width": 1280, "height": 800}
WALL: ViewportSize = {"width": 3840, "height": 2160}
# A purchase has to come through the whole stack on a busy machine.
SOON_MS = 60_000

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"

OpenPage = Callable[..., Page]
Theme = Literal["light", "dark"]

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launch(playwright: Playwright) -> Browser:
    """Chromium without a window. Raises MissingPrerequisite."""
    return playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS, headless=True)


def figure(page: Page, name: str) -> Locator:
    """The value of one of the live figures."""
    return page.get_by_test_id(f"figure-{name}")


def panel(page: Page, title: str) -> Locator:
    """The panel with this title."""
    return page.get_by_role("region", name=title, exact=True)


def follow_system(page: Page, theme: Theme) -> None:
    """The system's theme changes, and the page's with it.

    Chromium on a busy machine may lose a change: then there is another.
    """
    other: Theme = "dark" if theme == "light" else "light"
    for _attempt in range(10):
        page.emulate_media(color_scheme=theme)
        with suppress(PlaywrightTimeout):
            page.wait_for_function(
                "(theme) => document.documentElement.dataset.theme === theme", arg=theme, timeout=3000
            )
            return
        page.emulate_media(color_scheme=other)
    raise AssertionError(f"the page did not become {theme}")


def aside(work: Callable[[], object]) -> None:
    """Do this in a thread: in ours Playwright keeps an event loop running, beside which none can be started."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result()


def dollars(money: str) -> str:
    """A decimal string as the page shows it in en-US, by string work alone."""
    sign = "-" if money.startswith("-") else ""
    whole, cents = money.removeprefix("-").split(".")
    return f"{sign}${int(whole):,}.{cents}"


def serious_findings(page: Page) -> list[tuple[str, str, str]]:
    """What axe finds serious or worse: rule, element, what is wrong. The page's context must bypass its CSP."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    violations: list[Any] = page.evaluate("axe.run().then(({ violations }) => violations)")
    return [
        (violation["id"], str(node["target"]), node["failureSummary"])
        for violation in violations
        for node in violation["nodes"]
        if violation["impact"] in ("serious", "critical")
    ]
