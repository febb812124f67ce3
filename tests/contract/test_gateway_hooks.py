"""Webhooks at the gateway's edge: who may deliver what. What reaches Kafka is in tests/integration."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.common.times import format_time
from services.gateway.app import create_app
from services.gateway.hooks.secrets import BadSecrets
from tests.support.gateway_app import client_of, settings_of
from tests.support.webhooks import Json, encode, shopify_line, shopify_order, signature, woocommerce_order

SECRET, NEXT = "a-secret-of-this-shop", "the-next-secret-of-it"
SHOPIFY, WOOCOMMERCE = "/v1/hooks/shopify", "/v1/hooks/woocommerce"
HOUR_MS = 3_600_000


def hours_ago(hours: float) -> str:
    return format_time(time.time_ns() // 1_000_000 - int(hours * HOUR_MS))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{SECRET}\n{NEXT}\n")
    given = {"shopify_secrets_file": secrets, "woocommerce_secrets": SECRET, "produce_timeout_seconds": 0.2}
    async with client_of(settings_of(**given)) as client:
        yield client


async def deliver(gateway: httpx.AsyncClient, path: str, body: bytes, secret: str = SECRET) -> httpx.Response:
    header = "X-Shopify-Hmac-Sha256" if path == SHOPIFY else "X-WC-Webhook-Signature"
    return await gateway.post(path, content=body, headers={header: signature(body, secret)})


def pending(**given: Any) -> bytes:
    """An order that does not count yet, so nothing goes to Kafka."""
    return encode(shopify_order(shopify_line(1, "1.00"), financial_status="pending", updated_at=hours_ago(1)) | given)


@pytest.mark.parametrize("secret", [SECRET, NEXT])
async def test_a_signed_delivery_is_taken_under_each_secret(gateway: httpx.AsyncClient, secret: str) -> None:
    answer = await deliver(gateway, SHOPIFY, pending(), secret)
    assert (answer.status_code, answer.json()["status"], answer.json()["lines"]) == (202, "ignored", 0)
    assert "financial_status is pending" in answer.json()["detail"]


async def test_woocommerce_is_taken_under_its_own_secret(gateway: httpx.AsyncClient) -> None:
    soon = hours_ago(1).removesuffix("Z")
    body = encode(woocommerce_order(total="0.00", status="failed", date_paid_gmt=None, date_modified_gmt=soon))
    assert (await deliver(gateway, WOOCOMMERCE, body)).status_code == 202
    assert (await deliver(gateway, WOOCOMMERCE, body, NEXT)).status_code == 401


async def test_a_wrong_signature_is_refused_and_nothing_is_said_about_it(
    gateway: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    body = pending()
    for headers in ({}, {"X-Shopify-Hmac-Sha256": "x"}, {"X-WC-Webhook-Signature": signature(body, SECRET)}):
        answer = await gateway.post(SHOPIFY, content=body, headers=headers)
        assert answer.status_code == 401, answer.text
        assert "X-Shopify-Hmac-Sha256" in answer.json()["detail"]
    assert SECRET not in caplog.text


async def test_a_changed_body_is_refused(gateway: httpx.AsyncClient) -> None:
    body = pending()
    headers = {"X-Shopify-Hmac-Sha256": signature(body, SECRET)}
    assert (await gateway.post(SHOPIFY, content=body.replace(b"1.00", b"9.00"), headers=headers)).status_code == 401


async def test_guesses_are_slowed_and_the_shop_is_not(gateway: httpx.AsyncClient) -> None:
    answers = [await deliver(gateway, SHOPIFY, pending(), f"guess number {number}") for number in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await deliver(gateway, SHOPIFY, pending())).status_code == 202


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"id": 1}'], ids=["empty", "cut", "list", "no order"])
async def test_what_is_no_order_is_refused(gateway: httpx.AsyncClient, body: bytes) -> None:
    answer = await deliver(gateway, SHOPIFY, body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body"


async def test_a_large_body_is_refused(gateway: httpx.AsyncClient) -> None:
    body = pending(note="x" * 1024 * 1024)
    assert (await deliver(gateway, SHOPIFY, body)).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    headers = {"X-Shopify-Hmac-Sha256": signature(body, SECRET)}
    assert (await gateway.post(SHOPIFY, content=chunks(), headers=headers)).status_code == 413


@pytest.mark.parametrize(("hours", "status"), [(71.9, 202), (72.1, 409)])
async def test_a_delivery_has_an_age(gateway: httpx.AsyncClient, hours: float, status: int) -> None:
    answer = await deliver(gateway, SHOPIFY, pending(updated_at=hours_ago(hours)))
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("when", [None, "soon", "9999-12-31T23:59:59-14:00"])
async def test_a_time_that_says_nothing_refuses_nothing(gateway: httpx.AsyncClient, when: str | None) -> None:
    assert (await deliver(gateway, SHOPIFY, pending(updated_at=when, created_at=when))).status_code == 202


async def test_woocommerce_tests_the_address_without_a_signature(gateway: httpx.AsyncClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await gateway.post(WOOCOMMERCE, content=b"webhook_id=12", headers=form)
    assert (answer.status_code, answer.json()["lines"]) == (200, 0)
    assert (await gateway.post(WOOCOMMERCE, content=b"webhook_id=12&more", headers=form)).status_code == 401
    assert (await gateway.post(SHOPIFY, content=b"webhook_id=12", headers=form)).status_code == 401


async def test_without_kafka_the_shop_is_asked_to_send_again(gateway: httpx.AsyncClient) -> None:
    order: Json = shopify_order(shopify_line(1, "1.00"), updated_at=hours_ago(1))
    answer = await deliver(gateway, SHOPIFY, encode(order))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


async def test_without_a_secret_hooks_are_off() -> None:
    async with client_of(settings_of(shopify_secrets=SECRET)) as gateway:
        answer = await deliver(gateway, WOOCOMMERCE, b"{}")
        assert answer.status_code == 403
        assert "TILLSTREAM_WOOCOMMERCE_SECRETS_FILE" in answer.json()["detail"]
        assert (await deliver(gateway, "/v1/hooks/magento", b"{}")).status_code == 422


async def test_a_secret_that_is_too_short_is_a_wrong_setting() -> None:
    app = create_app(settings_of(shopify_secrets="short"))
    with pytest.raises(BadSecrets, match="fewer than 16 characters"):
        async with app.router.lifespan_context(app):
            pass
