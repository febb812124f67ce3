"""Pictures of the page of a running stack: `python -m tests.e2e.screenshots [http://127.0.0.1:8080]`.

Writes docs/img/page-<size>-<theme>.png. Never run by a test, so that the pictures change only on purpose.
"""

import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.e2e.browser import launch

FOLDER = Path(__file__).parents[2] / "docs" / "img"
SIZES: dict[str, ViewportSize] = {
    "phone": {"width": 360, "height": 780},
    "desk": {"width": 1280, "height": 800},
    "wall": {"width": 1920, "height": 1080},
}
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
# Charts have grown and the ticker is full.
SETTLED_MS = 4_000


def main(url: str) -> None:
    """One picture of the whole page a size and theme."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for size, viewport in SIZES.items():
            for theme in THEMES:
                file = FOLDER / f"page-{size}-{theme}.png"
                picture(browser, url, viewport, theme, file)
                print(file.relative_to(FOLDER.parents[1]))
        browser.close()


def picture(browser: Browser, url: str, viewport: ViewportSize, theme: Theme, file: Path) -> None:
    """The whole page at one width."""
    page = browser.new_page(viewport=viewport, color_scheme=theme, locale="en-US")
    page.goto(url)
    wait_for_content(page)
    page.screenshot(path=file, full_page=True)
    page.close()


def wait_for_content(page: Page) -> None:
    """Return once figures, products and charts are there."""
    page.get_by_test_id("connection").get_by_text("Live", exact=True).wait_for()
    page.get_by_test_id("recommendation").first.wait_for()
    page.locator("canvas").nth(3).wait_for()
    page.wait_for_timeout(SETTLED_MS)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080")
