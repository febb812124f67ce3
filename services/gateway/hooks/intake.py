"""One shop system's deliveries: signature, age, lines to Kafka."""

import re
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import Scope

from services.common.metrics import GATEWAY_HOOKS
from services.common.times import parse_time
from services.gateway.access.failures import Failures
from services.gateway.api.fair_share import owner_of
from services.gateway.api.problems import Problem, bad_field
from services.gateway.hooks import shopify, woocommerce
from services.gateway.hooks.delivery import Delivery, Json, NotAnOrder, Sale, ShopSystem, decode
from services.gateway.hooks.secrets import HookSecrets
from services.gateway.settings import GatewaySettings
from services.gateway.upstreams.event_intake import EventProducer

SIGNATURE_HEADERS: Mapping[ShopSystem, str] = {
    ShopSystem.SHOPIFY: "X-Shopify-Hmac-Sha256",
    ShopSystem.WOOCOMMERCE: "X-WC-Webhook-Signature",
}
_READERS: Mapping[ShopSystem, Callable[[Json, Sale], Delivery]] = {
    ShopSystem.SHOPIFY: shopify.read,
    ShopSystem.WOOCOMMERCE: woocommerce.read,
}
# What WooCommerce sends, unsigned, when a webhook is saved. It expects status 200.
_PING = re.compile(rb"webhook_id=[0-9]{1,20}")
_HOUR_MS = 3_600_000
# Kafka takes records of 1 MiB. JSON's escapes make a line up to three times as long as it came.
_MAX_RECORD_BYTES = 1_000_000


def hook_secrets(settings: GatewaySettings) -> dict[ShopSystem, HookSecrets]:
    """The secrets of each shop system. Raises BadSecrets."""
    return {
        ShopSystem.SHOPIFY: HookSecrets(ShopSystem.SHOPIFY, settings.shopify_secrets, settings.shopify_secrets_file),
        ShopSystem.WOOCOMMERCE: HookSecrets(
            ShopSystem.WOOCOMMERCE, settings.woocommerce_secrets, settings.woocommerce_secrets_file
        ),
    }


class HookIntake:
    """Takes the deliveries of one shop system."""

    def __init__(
        self, system: ShopSystem, secrets: HookSecrets, settings: GatewaySettings, producer: EventProducer
    ) -> None:
        self._system = system
        self._secrets = secrets
        self._settings = settings
        self._producer = producer
        self._failures = Failures()

    def check_open(self) -> None:
        """Raises Problem 403 where no secret is set."""
        if not self._secrets:
            raise Problem(HTTPStatus.FORBIDDEN, f"hooks of {self._system} are off: set {self._secrets.setting}")

    def is_ping(self, body: bytes) -> bool:
        """Whether it is WooCommerce's test of the address, which holds nothing and is not signed."""
        return self._system is ShopSystem.WOOCOMMERCE and _PING.fullmatch(body) is not None

    async def take(self, scope: Scope, body: bytes) -> Delivery:
        """Send a delivery's lines. Raises Problem 401, 409, 413, 422, 429 or 503; a repeat is safe after each."""
        try:
            delivery = self._read(scope, body)
        except Problem:
            self._count("refused")
            raise
        if delivery.events and not await self._producer.deliver(delivery.records):
            self._count("unconfirmed")
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Kafka did not acknowledge in time", {"Retry-After": "10"})
        self._count("ignored" if delivery.ignored else "accepted")
        return delivery

    def _count(self, result: str) -> None:
        GATEWAY_HOOKS.labels(self._system, result).inc()

    def _read(self, scope: Scope, body: bytes) -> Delivery:
        self._check_signature(scope, body)
        try:
            delivery = _READERS[self._system](decode(body), self._settings.hook_sale)
        except NotAnOrder as error:
            raise bad_field("body", str(error)) from None
        self._check_age(delivery)
        _check_size(delivery)
        return delivery

    def _check_signature(self, scope: Scope, body: bytes) -> None:
        name = SIGNATURE_HEADERS[self._system]
        signature = Headers(scope=scope).get(name)
        if signature is not None and self._secrets.have_signed(body, signature):
            return
        wait_s = self._failures.count(owner_of(scope))
        if wait_s is not None:
            headers = {"Retry-After": str(wait_s)}
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong signatures from this address", headers)
        fault = "is missing" if signature is None else f"fits no secret of {self._secrets.setting}"
        raise Problem(HTTPStatus.UNAUTHORIZED, f"{name} {fault}")

    def _check_age(self, delivery: Delivery) -> None:
        """The time is the body's own, which the signature covers; the headers with times are not signed."""
        try:
            changed_ms = parse_time(delivery.changed_at or "")
        except (ValueError, OverflowError):
            return  # the signature is valid: the lines decide
        hours = self._settings.hook_max_age_hours
        if time.time_ns() // 1_000_000 - changed_ms > hours * _HOUR_MS:
            raise Problem(
                HTTPStatus.CONFLICT,
                f"the delivery is of {delivery.changed_at}, more than {hours:g} hours ago: "
                "send what is missing as a file (docs/import.md)",
            )


def _check_size(delivery: Delivery) -> None:
    """Raises Problem 413. A record that is too large would close the producer, which others use too."""
    longest = max((len(key) + len(value) for key, value in delivery.records), default=0)
    if longest > _MAX_RECORD_BYTES:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a line of the order has {longest:,} bytes, more than {_MAX_RECORD_BYTES:,}",
        )
