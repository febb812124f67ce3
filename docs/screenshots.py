"""Pictures of the page of a running stack: `python -m docs.screenshots [--url U] [--only VIEW ...] [--into DIR]`.

Writes docs/img/<view>-<size>-<theme>.webp: whole views at the width of a phone, a desk and a 4K wall. Never run by a
test, so that the pictures change only on purpose. With `--png`, as PNG, which every viewer can show.
"""

import argparse
import base64
from itertools import product
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from local.http import get_json
from tests.support.browser import DESK, PHONE, WALL, launch

FOLDER = Path(__file__).parent / "img"
VIEWS = ("now", "sales", "customer", "product", "models", "system")
SIZES: dict[str, ViewportSize] = {"phone": PHONE, "desk": DESK, "wall": WALL}
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
# The charts are drawn and the ticker is full.
SETTLED_MS = 4_000
QUALITY = 80
MAX_BYTES = 300_000
"""More than this no picture may weigh in the repository."""


def main() -> None:
    """One picture of each view asked for, size and theme. Raises ValueError for a picture that weighs too much."""
    options = _options()
    options.into.mkdir(parents=True, exist_ok=True)
    addresses = addresses_of(options.url)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for view, (size, viewport), theme in product(options.only, SIZES.items(), THEMES):
            file = options.into / f"{view}-{size}-{theme}.{'png' if options.png else 'webp'}"
            picture(browser, f"{options.url}{addresses[view]}", viewport, theme, file)
            print(f"{file.name} {file.stat().st_size:,} bytes", flush=True)
        browser.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m docs.screenshots", description="Pictures of every view.")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="where the page is (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=VIEWS, default=VIEWS, metavar="VIEW", help=", ".join(VIEWS))
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER", help="default: docs/img")
    parser.add_argument("--png", action="store_true", help="larger files that every viewer can show")
    return parser.parse_args()


def addresses_of(url: str) -> dict[str, str]:
    """Each view's address; customer and product are real ones: a good customer, the best-selling product."""
    customers: list[str] = get_json(f"{url}/v1/users?limit=20")
    (best,) = get_json(f"{url}/v1/stats/top/products?n=1")
    return {
        "now": "/",
        "sales": "/sales?by=day&range=30d&compare=before",
        "customer": f"/customers/{customers[-1]}",
        "product": f"/products/{best['id']}",
        "models": "/models",
        "system": "/system",
    }


def picture(browser: Browser, address: str, viewport: ViewportSize, theme: Theme, file: Path) -> None:
    """The whole view at one width."""
    # Without motion a chart is whole as soon as it is drawn.
    page = browser.new_page(viewport=viewport, color_scheme=theme, reduced_motion="reduce", locale="en-US")
    page.goto(address)
    page.get_by_test_id("connection").get_by_text("Live", exact=True).wait_for()
    page.get_by_role("main").get_by_role("region").first.wait_for()
    # A function: the page's content policy forbids to evaluate an expression again and again as text.
    page.wait_for_function("() => !/Loading /.test(document.querySelector('main').textContent)")
    page.wait_for_timeout(SETTLED_MS)
    if file.suffix == ".png":
        page.screenshot(path=file, full_page=True)
    else:
        file.write_bytes(webp(page))
    page.close()
    if file.suffix == ".webp" and file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file} weighs {file.stat().st_size:,} bytes, more than {MAX_BYTES:,}: lower QUALITY")


def webp(page: Page) -> bytes:
    """The whole page, a wall's at half its size, as WebP, which Chromium makes and Playwright does not offer."""
    session = page.context.new_cdp_session(page)
    size = session.send("Page.getLayoutMetrics")["cssContentSize"]
    scale = 0.5 if size["width"] >= WALL["width"] else 1  # a reader's screen is no wall
    clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": scale}
    options = {"format": "webp", "quality": QUALITY, "captureBeyondViewport": True, "clip": clip}
    return base64.b64decode(session.send("Page.captureScreenshot", options)["data"])


if __name__ == "__main__":
    main()
