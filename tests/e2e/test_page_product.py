"""The view of a product in a real browser, on the real stack."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.support.browser import SOON_MS, OpenPage, dollars, panel
from tests.support.live_shop import LiveShop

pytestmark = pytest.mark.timeout(600)


def test_a_best_selling_product_is_opened_and_tells_all_that_is_known(stack: LiveShop, open_page: OpenPage) -> None:
    (best,) = stack.get("/v1/stats/top/products?n=1")
    page = open_page("/products")
    panel(page, "Best-selling products").get_by_role("link").first.click(timeout=SOON_MS)
    expect(page).to_have_url(f"{stack.url}/products/{best['id']}")
    facts = stack.get(f"/v1/products/{best['id']}")
    expect(page.get_by_test_id("product id").first).to_have_text(best["id"])
    expect(page.get_by_test_id("facts")).to_contain_text(dollars(facts["revenue"]))
    similar = stack.get(f"/v1/products/{best['id']}/similar?k=6")
    cards = panel(page, "Substitutes").get_by_test_id("product id")
    expect(cards).to_have_text([item["product_id"] for item in similar["items"]])
    together = panel(page, "Bought together").get_by_test_id("recommendation")
    expect(together).to_have_count(len(similar["complements"]))  # their order follows the stream
    days = stack.get(f"/v1/products/{best['id']}/sales?granularity=day")
    chart = panel(page, "Sales over time")
    chart.get_by_role("radio", name="Day", exact=True).check()
    chart.get_by_role("button", name="Sales over time as a table").click()
    expect(chart.get_by_role("table")).to_contain_text(dollars(days[-1]["revenue"]))


def test_the_search_suggests_best_selling_products_and_finds_words(stack: LiveShop, open_page: OpenPage) -> None:
    page = open_page("/products")
    search = page.get_by_role("combobox", name="Product")
    search.focus()
    best = stack.get("/v1/products?limit=8")
    options = page.get_by_role("option")
    expect(options).to_have_count(len(best))
    assert [option.locator(".id").inner_text() for option in options.all()] == [each["product_id"] for each in best]
    wanted = next(each for each in reversed(best) if each["brand"] != "unknown")
    found = stack.get(f"/v1/products?search={quote(wanted['brand'])}&limit=8")
    assert found != best
    search.fill(wanted["brand"])
    expect(options.locator(".id")).to_have_text([each["product_id"] for each in found])
    search.press("ArrowDown")
    search.press("Enter")
    expect(page).to_have_url(f"{stack.url}/products/{found[0]['product_id']}")
    expect(page.get_by_test_id("facts")).to_contain_text(wanted["brand"])


def test_a_product_nobody_bought_says_so(open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page(f"/products/{quote('no/such.product', safe='')}")
    expect(page.get_by_test_id("unknown-product")).to_contain_text("no/such.product")
    assert "404" in complaints.pop(), "no such product: the browser itself notes the gateway's answer"
