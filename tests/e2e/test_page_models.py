"""The view of the models in a real browser. A second model is put into the gateway's answer."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.support.browser import PHONE, OpenPage, panel, serious_findings
from tests.support.live_shop import LiveShop

pytestmark = pytest.mark.timeout(600)

OLDER = "20200101T000000Z-0a1b2c"
TOKEN = "a token"


def with_older_model(page: Page, stack: LiveShop, previous: str | None = None) -> dict[str, Any]:
    """Let the page see the real model and an older one, and what was live before; returns the real one."""
    answer = stack.get("/v1/models")
    (model,) = answer["models"]
    warm = {"hr@3": [0.039, 0.034, 0.043], "ndcg@10": [0.105, 0.1, 0.11]}
    older = {**model, "version": OLDER, "live": False, "settings": {**model["settings"], "rank": 99}}
    current = {**answer["current"], "previous": previous}
    measured = [{**each, "metrics": {"warm": warm}} for each in (model, older)]
    body = json.dumps({**answer, "current": current, "models": measured})
    page.route("**/v1/models", lambda route: route.fulfill(content_type="application/json", body=body))
    page.reload()
    expect(page.get_by_test_id("model")).to_have_count(2)
    found: dict[str, Any] = model
    return found


def test_the_live_model_is_told_with_its_data(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/models")
    (model,) = stack.get("/v1/models")["models"]
    row = page.get_by_test_id("model")
    expect(row).to_contain_text(model["version"])
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


REFUSAL: dict[str, Any] = {
    "version": "20261125T120000Z-0a1b2c",
    "verdict": "refused",
    "winner": "popularity",
    "reason": "The new model finds no more purchases of known customers than what everybody buys.",
    "rule": "A recipe that personalises must beat popularity for customers known before.",
    "recipes": [
        {
            "name": "candidate",
            "refused": "no lift over what everybody buys",
            "figures": {"warm": {"hr@3": [0.021, 0.015, 0.028], "ndcg@10": [0.02, 0.01, 0.03]}},
            "against_live": [-0.004, -0.009, 0.001],
            "against_popularity": [-0.003, -0.006, -0.001],
        },
        {"name": "popularity", "refused": None, "figures": {}, "against_live": None, "against_popularity": None},
    ],
    "checks": [
        {"name": "files", "passed": True, "detail": "8 files"},
        {"name": "finite", "passed": False, "detail": "NaN"},
    ],
}


def with_gate(page: Page, stack: LiveShop, gate: dict[str, Any]) -> None:
    """Let the page see this verdict of the newest training, and a fifth of the customers answered by a variant."""
    answer = stack.get("/v1/models")
    (model,) = answer["models"]
    variant = {"name": "b", "version": model["version"], "weight": 0.2}
    current = {**answer["current"], "variants": [variant]}
    body = json.dumps({**answer, "current": current, "gate": gate})
    page.route("**/v1/models", lambda route: route.fulfill(content_type="application/json", body=body))
    page.reload()


def test_a_refusal_says_why_in_plain_words(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/models")
    with_gate(page, stack, REFUSAL)
    verdict = page.get_by_test_id("verdict")
    expect(verdict).to_contain_text("Refused: nothing was changed")
    expect(verdict).to_contain_text(REFUSAL["reason"])
    candidate = page.get_by_test_id("recipes").get_by_role("row").filter(has_text="The new model")
    expect(candidate).to_contain_text("no lift over what everybody buys")
    expect(candidate).to_contain_text("2.1% (1.5% to 2.8%)")
    expect(candidate).to_contain_text("no clear difference")
    expect(candidate).to_contain_text("worse: -0.003")
    checks = page.get_by_role("list", name="Checks").get_by_role("listitem")
    expect(checks).to_have_text([re.compile("Passed: .*8 files"), re.compile("Failed: .*NaN")])
    expect(page.get_by_test_id("model")).to_contain_text("variant b: 20%")


def test_the_verdict_reads_well_on_a_phone_and_for_axe(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/models", viewport=PHONE, bypass_csp=True)
    with_gate(page, stack, REFUSAL)
    expect(page.get_by_test_id("verdict")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert serious_findings(page) == []


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
    dialog.get_by_label("Reason").fill("cables for everybody")
    dialog.get_by_label("Admin token").fill("wrong")
    dialog.get_by_role("button", name="Activate").click()
    expect(dialog.get_by_role("alert")).to_contain_text("missing or wrong")
    dialog.get_by_label("Admin token").fill(TOKEN)
    dialog.get_by_role("button", name="Activate").click()
    expect(dialog).to_have_count(0)
    assert [request.post_data_json for request in asked] == [{"note": "cables for everybody"}] * 2
    assert "401" in complaints.pop(), "the browser itself notes the gateway's answer"


def test_the_model_before_is_the_one_to_roll_back_to(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/models")
    with_older_model(page, stack, previous=OLDER)
    row = page.get_by_test_id("model").filter(has_text=OLDER)
    expect(row).to_contain_text("3.9%")
    expect(row).to_contain_text("0.105")
    row.get_by_role("button", name=f"Roll back to {OLDER}").click()
    dialog = page.get_by_role("dialog", name="Roll back to this model?")
    expect(dialog).to_contain_text(OLDER)
    expect(dialog.get_by_role("button", name="Roll back")).to_be_visible()
