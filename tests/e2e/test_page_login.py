"""The login in a real browser: a gateway that is closed by it, and a provider of OpenID Connect."""

from pathlib import Path

from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as PlaywrightError

from local.layout import REPOSITORY
from local.ports import free_port
from tests.support.browser import DESK, SOON_MS
from tests.support.gateway_process import gateway_process
from tests.support.oidc_provider import login_settings, serving_provider

PERSON = "anna@shop.example"


def log_in(page: Page, url: str) -> None:
    """As often as it takes: on a busy machine the gateway may give up on the provider, and says so on the page.

    Each attempt begins at the page again, since a failed one may end anywhere, and without a session of the last one.
    """
    failures = []
    for _attempt in range(5):
        try:
            page.context.clear_cookies()
            page.goto(url, timeout=SOON_MS)
            page.get_by_role("link", name="Log in").click(timeout=SOON_MS)
            page.get_by_role("link", name="anna").click(timeout=SOON_MS)
            expect(page.get_by_text(PERSON)).to_be_visible(timeout=SOON_MS)
        except (AssertionError, PlaywrightError) as failure:  # of expect; of goto and click
            failures.append(f"{page.url}: {failure}")
        else:
            return
    raise AssertionError("nobody is logged in:\n" + "\n".join(failures))


def test_a_person_logs_in_and_out(browser: Browser, redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://localhost:{port}"
    with serving_provider() as provider:
        settings = {**login_settings(provider, url), "redis_url": redis_url, "web_dist": REPOSITORY / "web" / "dist"}
        with gateway_process(tmp_path / "log", gateway_port=port, **settings):
            context = browser.new_context(viewport=DESK, locale="en-US")
            page = context.new_page()
            log_in(page, f"{url}/sales")
            assert page.url == f"{url}/sales", "where the person wanted to go"
            (session,) = (each for each in context.cookies() if each["name"] == "tillstream-session")
            assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_role("link", name="Log in")).to_be_visible(timeout=SOON_MS)
            assert [each["name"] for each in context.cookies() if each["name"] == "tillstream-session"] == []
            context.close()
