"""The view of the models in a real browser. A second model is put into the gateway's answer."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.e2e.browser import SOON_MS, OpenPage, panel
from tests.e2e.conftest import LiveShop

pytestmark = pytest.mark.timeout(600)

OLDER = "20200101T000000Z-0a1b2c"
TOKEN = "a token"


def with_older_model(page: Page, stack: LiveShop) -> dict[str, Any]:
    """Let the page see the real model and an older one; returns the real one."""
    answer = stack.get("/v1/models")
    (model,) = answer["models"]
    older = {**model, "version": OLDER, "live": False, "settings": {**model["settings"], "rank": 99}}
    body = json.dumps({**answer, "models": [model, older]})
    page.route("**/v1/models", lambda route: route.fulfill(content_type="application/json", body=body))
    page.reload()
    expect(page.get_by_test_id("model")).to_have_count(2, timeout=SOON_MS)
    found: dict[str, Any] = model
    return found


def test_the_live_model_is_told_with_its_data(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/models")
    (model,) = stack.get("/v1/models")["models"]
    row = page.get_by_test_id("model")
    expect(row).to_contain_text(model["version"], timeout=SOON_MS)
    expect(row).to_contain_text("live")
    expect(row).to_contain_text(f"{model['counts']['pairs']:,}")


def test_two_models_are_compared(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/models")
    model = with_older_model(page, stack)
    for version in (model["version"], OLDER):
        page.get_by_role("checkbox", name=f"Compare {version}").check()
    different = panel(page, "Compared").locator("tr[data-same=false]")
    expect(different).to_have_count(1)
    assert different.get_by_role("cell").all_inner_texts() == ["settings", str(model["settings"]["rank"]), "99"]


def test_a_model_is_activated_only_with_the_token(stack: LiveShop, open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page("/models")
    with_older_model(page, stack)
    asked: list[Request] = []

    def answer(route: Route) -> None:
        asked.append(route.request)
        if route.request.headers.get("authorization") == f"Bearer {TOKEN}":
            route.fulfill(content_type="application/json", body="{}")
        else:
            problem = json.dumps({"title": "Unauthorized", "detail": "the admin's bearer token is missing or wrong"})
            route.fulfill(status=401, content_type="application/problem+json", body=problem)

    page.route(f"**/v1/models/{OLDER}/activate", answer)
    page.get_by_role("button", name=f"Activate {OLDER}").click()
    dialog = page.get_by_role("dialog", name="Activate this model?")
    expect(dialog).to_contain_text(OLDER)
    dialog.get_by_label("Why").fill("cables for everybody")
    dialog.get_by_label("Admin token").fill("wrong")
    dialog.get_by_role("button", name="Activate").click()
    expect(dialog.get_by_role("alert")).to_contain_text("missing or wrong")
    dialog.get_by_label("Admin token").fill(TOKEN)
    dialog.get_by_role("button", name="Activate").click()
    expect(dialog).to_have_count(0)
    assert [request.post_data_json for request in asked] == [{"note": "cables for everybody"}] * 2
    assert "401" in complaints.pop(), "the browser itself notes the gateway's answer"
