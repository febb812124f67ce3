"""Event intake over HTTP."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header, Request
from pydantic import BaseModel, Field, WithJsonSchema

from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.packed_body import unpacked
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.events import EventsResponse, EventVerdict
from services.gateway.dependencies import get_dependencies
from services.gateway.upstreams.event_intake import MAX_EVENTS, EventsUnconfirmed, read_events

router = guarded_router(prefix="/v1/events", tags=["events"])

MAX_KEY_LENGTH = 100  # with `:<index>` it fits an event_id
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=rf'^(?:[!#-~]{{1,{MAX_KEY_LENGTH}}}|"[!#-~]{{1,{MAX_KEY_LENGTH}}}")$',
        description="Identifies the request, for example a UUID, quoted or not: visible ASCII characters without "
        "quotes. Gives events without an `event_id` theirs, so a retry of the same request counts once.",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
]

_JSON, _JSON_LINES = "application/json", ("application/x-ndjson", "application/jsonl")
_TEXT_OR_NUMBER = {"anyOf": [{"type": "string", "pattern": r"^-?[0-9]{1,15}(\.[0-9]+)?$"}, {"type": "number"}]}
_TEXT_OR_INTEGER = {"anyOf": [{"type": "string", "pattern": r"^-?[0-9]{1,9}$"}, {"type": "integer"}]}
Decimal = Annotated[str, WithJsonSchema(_TEXT_OR_NUMBER)]
Count = Annotated[int, WithJsonSchema(_TEXT_OR_INTEGER)]


class PurchaseEvent(BaseModel):
    """The contract of topic `purchases`, as documentation. services/common/events.py validates."""

    event_time: str = Field(description="RFC 3339, or `YYYY-MM-DD HH:MM:SS UTC`.")
    order_id: str = Field(min_length=1, max_length=128)
    product_id: str = Field(min_length=1, max_length=128)
    price: Decimal = Field(description="Unit price in whole cents; a decimal string or number, no exponent.")
    event_id: str | None = Field(
        default=None,
        max_length=128,
        description="Identifies the line within its order: any text, such as `1` or a UUID. Makes a retry safe.",
    )
    user_id: str | None = Field(default=None, description="Null for an anonymous buyer.")
    category_id: str | None = None
    category_code: str | None = None
    brand: str | None = None
    product_name: str | None = None
    quantity: Count | None = Field(default=1, description="Negative for returns; 1 by default.")
    amount: Decimal | None = Field(default=None, description="The line's total where it differs from price x quantity.")
    replay_of: str | None = Field(default=None, description="The origin of the dead letter that this event replays.")


_EXAMPLE = {
    "event_id": "1",
    "event_time": "2020-04-24T11:50:39Z",
    "order_id": "2294359932054536986",
    "product_id": "1515966223509089906",
    "price": "162.01",
    "user_id": "1515915625441993984",
    "category_code": "electronics.smartphone",
    "brand": "samsung",
}
_EVENT = PurchaseEvent.model_json_schema()
_LIST = {"type": "array", "items": _EVENT, "minItems": 1, "maxItems": MAX_EVENTS}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_EVENT, _LIST]},
                "examples": {"one": {"value": _EXAMPLE}, "list": {"value": [_EXAMPLE]}},
            },
        },
    }
}


@router.post("", status_code=HTTPStatus.ACCEPTED, summary="Submit purchases", openapi_extra=_BODY)
@gives(Access.EVENTS)
async def send(request: Request, key: IdempotencyKey = None) -> EventsResponse:
    """One event, or a list of at most 1,000. After the broker's acknowledgement, responds with a verdict per event.

    Also JSON lines, one event a line, as `application/x-ndjson` or `application/jsonl`. The body may be packed
    (`Content-Encoding: gzip`) and may begin with a byte order mark; packed or not, it has at most 4 MiB by default.

    A line counts once: it is a repeat if its order already has a line with the same `event_id`, product, quantity and
    revenue, however long ago. An `event_id` needs to be unique within its order only; two lines that differ both count.

    Events without an `event_id` get `<key>:<index>` from the header `Idempotency-Key`, so that the same request may be
    sent again. Without either, an event counts each time it is sent.

    422 where no event is valid; 503 where the broker does not acknowledge in time (a retry is safe for events with an
    `event_id`, and for the same request under the same `Idempotency-Key`).
    """
    content_type = _content_type(request)
    dependencies = get_dependencies(request)
    settings = dependencies.settings
    key = key.strip('"') if key else None
    body = unpacked(await request.body(), request.headers.get("content-encoding"), settings.max_body_bytes)
    events = read_events(body, settings.event_rules, key, lines=content_type in _JSON_LINES)
    try:
        verdicts = await dependencies.event_producer.send(events)
    except EventsUnconfirmed as error:
        raise _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), error.verdicts) from None
    accepted = sum(verdict.status == "accepted" for verdict in verdicts)
    if not accepted:
        raise _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no event is valid", verdicts)
    return EventsResponse(accepted=accepted, rejected=len(verdicts) - accepted, verdicts=verdicts)


def _content_type(request: Request) -> str:
    # Another site's page can send other types without a CORS preflight.
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (_JSON, *_JSON_LINES):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type must be {_JSON}, or for JSON lines {' or '.join(_JSON_LINES)}",
        )
    return content_type


def _problem(status: HTTPStatus, detail: str, verdicts: list[EventVerdict]) -> Problem:
    return Problem(status, detail, verdicts=[verdict.model_dump() for verdict in verdicts])
