"""What a delivery must be before its lines go to Kafka."""

import base64
import hashlib
import hmac
import json

import pytest
from pydantic import SecretStr

from services.gateway.api.problems import Problem
from services.gateway.hooks.delivery import ShopSystem
from services.gateway.hooks.intake import HookIntake
from services.gateway.hooks.secrets import HookSecrets
from services.gateway.settings import GatewaySettings
from services.gateway.upstreams.event_intake import EventProducer

SECRET = "a-secret-of-the-shop"


def order_of(sku: str) -> bytes:
    order = {"id": 1, "financial_status": "paid", "line_items": [{"id": 2, "sku": sku, "price": "1", "quantity": 1}]}
    return json.dumps(order, ensure_ascii=False).encode()


@pytest.mark.parametrize(("sku", "status"), [("A", 503), ("\u0436" * 200_000, 413)], ids=["fits", "too large"])
async def test_a_line_that_kafka_cannot_take_never_reaches_the_producer(sku: str, status: int) -> None:
    settings = GatewaySettings()
    secrets = HookSecrets(ShopSystem.SHOPIFY, SecretStr(SECRET), None)
    producer = EventProducer(settings, settings.purchases_topic)  # not connected: what reaches it is not acknowledged
    intake, body = HookIntake(ShopSystem.SHOPIFY, secrets, settings, producer), order_of(sku)
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, hashlib.sha256))
    with pytest.raises(Problem) as raised:
        await intake.take({"type": "http", "headers": [(b"x-shopify-hmac-sha256", signature)]}, body)
    assert raised.value.status_code == status
