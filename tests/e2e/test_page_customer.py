"""The view of a customer in a real browser, on the real stack."""

import json
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import SOON_MS, OpenPage, aside, dollars, panel
from tests.support.live_shop import LiveShop

pytestmark = pytest.mark.timeout(600)

# product_id, category_id, category_code, brand
_PRODUCT = ["1515966223509000001", "2268105428166508982", "electronics.smartphone", "samsung"]


def test_a_customer_found_by_the_start_of_an_id_gets_three_products(stack: LiveShop, open_page: OpenPage) -> None:
    customer = stack.get("/v1/users?limit=20")[-1]
    assert len(customer) == 19
    page = open_page("/customers")
    search = page.get_by_role("combobox", name="Customer id")
    search.fill(customer[:-1])
    option = page.get_by_role("option", name=customer, exact=True)
    expect(option).to_be_visible()
    while option.get_attribute("aria-selected") != "true":
        search.press("ArrowDown")
    search.press("Enter")
    assert_shows_customer(page, stack, customer)
    expect(page).to_have_url(f"{stack.url}/customers/{customer}")
    page.reload()
    assert_shows_customer(page, stack, customer)


def assert_shows_customer(page: Page, stack: LiveShop, customer: str) -> None:
    """The whole id, what they spent, and the three products of the API with reason, strategy and model."""
    expect(page.get_by_test_id("customer id")).to_have_text(customer)
    assert int(customer) > 2**53
    shown = panel(page, "Customer")
    expect(shown).to_contain_text(dollars(stack.get(f"/v1/users/{customer}")["revenue"]))
    answer = stack.get(f"/v1/users/{customer}/recommendations?k=3")
    cards = panel(page, "Most likely to buy next").get_by_test_id("recommendation")
    expect(cards).to_have_count(3)
    for card, item in zip(cards.all(), answer["items"], strict=True):
        expect(card.get_by_test_id("product id")).to_have_text(item["product_id"])
        expect(card).to_contain_text(dollars(item["price"]))
        expect(card).to_contain_text(item["brand"])
        expect(card).to_contain_text(f"{item['score']:.3f}")
        expect(card.get_by_test_id("reason")).not_to_be_empty()
    expect(page.get_by_test_id("strategy")).to_have_attribute("data-strategy", answer["strategy"])
    expect(page.get_by_test_id("strategy")).to_contain_text(answer["model_version"])


def test_a_newcomer_sees_a_customer_without_typing(stack: LiveShop, open_page: OpenPage) -> None:
    first, second = stack.get("/v1/users?limit=2")
    page = open_page("/customers")
    assert_shows_customer(page, stack, first)
    page.get_by_role("navigation", name="Top spenders").get_by_role("link", name=second, exact=True).click()
    assert_shows_customer(page, stack, second)


def test_a_customer_nobody_knows_gets_popular_products(open_page: OpenPage, complaints: list[str]) -> None:
    stranger = "a stranger/1 & <b>"
    page = open_page(f"/customers/{quote(stranger, safe='')}")
    expect(page.get_by_test_id("customer id")).to_have_text(stranger)
    expect(page.get_by_test_id("unknown-customer")).to_be_visible()
    expect(page.get_by_test_id("recommendation")).to_have_count(3)
    expect(page.get_by_test_id("strategy")).to_contain_text("Popular")
    assert "404" in complaints.pop(), "no such customer: the browser itself notes the gateway's answer"


def test_filters_are_in_the_address_and_narrow_what_is_recommended(stack: LiveShop, open_page: OpenPage) -> None:
    (customer,) = stack.get("/v1/users?limit=1")
    page = open_page(f"/customers/{customer}")
    page.get_by_role("combobox", name="Category", exact=True).select_option("appliances")
    page.get_by_role("textbox", name="Price to", exact=True).fill("400.00")
    page.get_by_role("textbox", name="Price to", exact=True).press("Enter")
    filters = {"category": "appliances", "max_price": "400.00"}
    expect(page).to_have_url(f"{stack.url}/customers/{customer}?{urlencode(filters)}")
    expected = stack.get(f"/v1/users/{customer}/recommendations?k=3&{urlencode(filters)}")["items"]
    assert all(item["category_code"].startswith("appliances.") for item in expected)
    for _first_and_reloaded in range(2):
        cards = panel(page, "Most likely to buy next").get_by_test_id("product id")
        expect(cards).to_have_text([item["product_id"] for item in expected])
        page.reload()


def test_ticking_products_changes_what_goes_with_them(stack: LiveShop, open_page: OpenPage) -> None:
    (customer,) = stack.get("/v1/users?limit=1")
    page = open_page(f"/customers/{customer}")
    expect(panel(page, "What if")).to_contain_text("Nothing is in the basket yet")
    candidates = page.get_by_test_id("candidates").get_by_role("checkbox")
    candidates.first.check(timeout=SOON_MS)
    basket = page.get_by_test_id("basket")
    expect(basket.get_by_test_id("strategy")).to_have_attribute("data-strategy", "basket")
    one = basket.get_by_test_id("product id").all_inner_texts()
    assert len(one) == 3
    for number in range(1, 6):
        candidates.nth(number).check()
    expect(basket.get_by_test_id("product id")).not_to_have_text(one)
    expect(basket.get_by_test_id("recommendation")).to_have_count(3)


def test_any_product_can_be_put_into_the_basket(stack: LiveShop, open_page: OpenPage) -> None:
    (customer,) = stack.get("/v1/users?limit=1")
    product = stack.get("/v1/products?limit=40")[-1]["product_id"]
    page = open_page(f"/customers/{customer}")
    search = panel(page, "What if").get_by_role("combobox", name="Product")
    search.fill(product)
    search.press("Enter")
    row = page.get_by_test_id("candidates").get_by_role("listitem").filter(has_text=product)
    expect(row.get_by_role("checkbox")).to_be_checked()
    expect(page.get_by_test_id("basket").get_by_test_id("recommendation")).to_have_count(3)


def test_spend_over_time_goes_beyond_the_newest_lines(stack: LiveShop, open_page: OpenPage) -> None:
    """A customer of sixty lines in six months: the history holds fifty of them, the chart all."""
    customer = "1515915625000000001"
    rows = [
        [f"2019-0{1 + line % 6}-1{line // 10} 10:00:00 UTC", f"spend-{line}", *_PRODUCT, "12.34", customer]
        for line in range(60)
    ]
    aside(lambda: stack.replay(rows))
    answer = stack.get(f"/v1/users/{customer}")
    assert (len(answer["purchases"]), answer["quantity"]) == (50, 60)
    page = open_page(f"/customers/{customer}")
    chart = panel(page, "Spend over time")
    expect(chart).to_contain_text("all they have bought")
    chart.get_by_role("button", name="Spend over time as a table").click()
    shown = [
        [cell.inner_text() for cell in row.get_by_role("cell").all()] for row in chart.get_by_role("row").all()[1:]
    ]
    assert [cells[:3] for cells in shown] == [
        [f"{month} 2019", "$123.40", "10"] for month in ("Jan", "Feb", "Mar", "Apr", "May", "Jun")
    ]


def test_what_the_recommender_does_not_know_yet_is_said(stack: LiveShop, open_page: OpenPage) -> None:
    """The answer of a recommender that lost Kafka three minutes ago, for a customer of a variant."""
    (customer,) = stack.get("/v1/users?limit=1")
    answer = stack.get(f"/v1/users/{customer}/recommendations?k=3")
    told = json.dumps({**answer, "variant": "b", "state_age_ms": 180_000})
    page = open_page("/")
    page.route("**/recommendations?*", lambda route: route.fulfill(content_type="application/json", body=told))
    page.goto(f"{stack.url}/customers/{customer}")
    expect(page.get_by_test_id("knowledge")).to_contain_text("The purchases of the last 3 min")
    expect(page.get_by_test_id("strategy")).to_contain_text("variant b")
