"""Chromium as the browser tests and the screenshots drive it."""

from playwright.sync_api import Browser, Playwright

from local.browser import chromium

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
