"""Webhooks of shop systems."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Path, Request, Response

from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.schemas.events import HookResponse
from services.gateway.dependencies import get_dependencies
from services.gateway.hooks.delivery import ShopSystem

router = guarded_router(prefix="/v1/hooks", tags=["events"])

_MAX_BODY_BYTES = 1024 * 1024
_System = Annotated[ShopSystem, Path(description="Who sends.", examples=["shopify"])]
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


@router.post(
    "/{shop_system}",
    status_code=HTTPStatus.ACCEPTED,
    summary="Take a webhook's delivery",
    openapi_extra=_BODY,
    max_body_size=_MAX_BODY_BYTES,
    responses={200: {"model": HookResponse, "description": "WooCommerce's test of the address"}},
)
@gives(Access.PUBLIC)  # the signature says who sends
async def deliver(request: Request, response: Response, shop_system: _System) -> HookResponse:
    """Orders and refunds, signed by the shop system: `X-Shopify-Hmac-Sha256` or `X-WC-Webhook-Signature`, the base64 of
    the HMAC-SHA256 of the body. API keys play no part.

    Deliveries may come again and in any order: each line and each refund has an id of its own and counts once. A line
    that cannot be understood becomes a dead letter. Responds after the broker's acknowledgement.

    401 for a wrong signature; 403 where no secret is set; 409 for a delivery that is too old; 413 above 1 MiB; 422
    where the body is no order and no refund; 503 where the broker does not acknowledge in time.
    """
    intake = get_dependencies(request).hooks[shop_system]
    intake.check_open()
    body = await request.body()
    if intake.is_ping(body):
        response.status_code = HTTPStatus.OK
        return HookResponse(status="ignored", lines=0, detail="the address is right")
    delivery = await intake.take(request.scope, body)
    return HookResponse(
        status="ignored" if delivery.ignored else "accepted", lines=len(delivery.events), detail=delivery.ignored
    )
