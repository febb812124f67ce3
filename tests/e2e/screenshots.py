"""Pictures of the page of a running stack: `python -m tests.e2e.screenshots [http://127.0.0.1:8080]`.

Writes docs/img/<view>-<size>-<theme>.png. Never run by a test, so that the pictures change only on purpose.
"""

import sys
from itertools import product
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from tests.e2e.browser import DESK, PHONE, WALL, launch

FOLDER = Path(__file__).parents[2] / "docs" / "img"
VIEWS = {"page": "/", "sales": "/sales?by=day&range=30d&compare=before", "customer": "/customers", "system": "/system"}
SIZES: dict[str, ViewportSize] = {"phone": PHONE, "desk": DESK, "wall": WALL}
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
# Charts have grown and the ticker is full.
SETTLED_MS = 4_000


def main(url: str) -> None:
    """One picture of each whole view a size and theme."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for (view, path), (size, viewport), theme in product(VIEWS.items(), SIZES.items(), THEMES):
            file = FOLDER / f"{view}-{size}-{theme}.png"
            picture(browser, f"{url}{path}", viewport, theme, file)
            print(file.relative_to(FOLDER.parents[1]))
        browser.close()


def picture(browser: Browser, address: str, viewport: ViewportSize, theme: Theme, file: Path) -> None:
    """The whole view at one width."""
    page = browser.new_page(viewport=viewport, color_scheme=theme, locale="en-US")
    page.goto(address)
    page.get_by_test_id("connection").get_by_text("Live", exact=True).wait_for()
    page.get_by_role("main").get_by_role("region").first.wait_for()
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=file, full_page=True)
    page.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080")
