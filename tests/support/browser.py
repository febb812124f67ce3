"""Chromium as the browser tests and the screenshots drive it, and what the tests look for on the page."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Playwright, ViewportSize

from local.browser import chromium

PHONE: ViewportSize = {"width": 360, "height": 780}
DESK: ViewportSize = {"width": 1280, "height": 800}
WALL: ViewportSize = {"width": 3840, "height": 2160}
# A purchase has to come through the whole stack on a busy machine.
SOON_MS = 30_000

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"

OpenPage = Callable[..., Page]

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
