"""The view of a customer in a real browser, on the real stack."""

from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import SOON_MS, OpenPage, dollars, panel
from tests.e2e.conftest import LiveShop

pytestmark = pytest.mark.timeout(600)


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
        expect(cards).to_have_text([item["product_id"] for item in expected], timeout=SOON_MS)
        page.reload()


def test_ticking_products_changes_what_goes_with_them(stack: LiveShop, open_page: OpenPage) -> None:
    (customer,) = stack.get("/v1/users?limit=1")
    page = open_page(f"/customers/{customer}")
    expect(panel(page, "What if")).to_contain_text("Nothing is in the basket yet")
    candidates = page.get_by_test_id("candidates").get_by_role("checkbox")
    candidates.first.check(timeout=SOON_MS)
    basket = page.get_by_test_id("basket")
    expect(basket.get_by_test_id("strategy")).to_have_attribute("data-strategy", "basket", timeout=SOON_MS)
    one = basket.get_by_test_id("product id").all_inner_texts()
    assert len(one) == 3
    for number in range(1, 6):
        candidates.nth(number).check()
    expect(basket.get_by_test_id("product id")).not_to_have_text(one, timeout=SOON_MS)
    expect(basket.get_by_test_id("recommendation")).to_have_count(3)


def test_spend_over_time_adds_up_to_the_purchases(stack: LiveShop, open_page: OpenPage) -> None:
    customer = stack.get("/v1/users?limit=40")[-1]
    page = open_page(f"/customers/{customer}")
    chart = panel(page, "Spend over time")
    chart.get_by_role("button", name="Spend over time as a table").click(timeout=SOON_MS)
    rows = [row.get_by_role("cell").nth(2).inner_text() for row in chart.get_by_role("row").all()[1:]]
    assert sum(map(int, rows)) == sum(line["quantity"] for line in stack.get(f"/v1/users/{customer}")["purchases"])
