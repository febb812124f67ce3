"""The live stream of server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header, Query, Request
from fastapi.responses import StreamingResponse

from services.gateway.access.roles import Access, Principal
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.fair_share import owner_of
from services.gateway.dependencies import get_dependencies

router = guarded_router(prefix="/v1/stats", tags=["figures"])

# A proxy must neither compress nor buffer it: both would hold events back.
_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
_EXAMPLE = """\
retry: 2000

id: 1587729039000-0
event: snapshot
data: {"summary": {"revenue": "1234.50", ...}, "top": {"spenders": [...], ...}, "ticker": [...]}

id: 1587729039120-0
event: ticker
data: {"id": "1587729039120-0", "arrived_at": "2020-04-24T11:50:39.120Z", "order_id": "...", "revenue": "162.01", ...}

event: update
data: {"summary": {"revenue": "1396.51", ...}, "top": {"spenders": [...]}}
"""


@router.get(
    "/stream",
    summary="Live stream (server-sent events)",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        }
    },
)
@gives(Access.FIGURES)
async def stream(
    request: Request,
    last_event_id: Annotated[
        str | None, Header(description="The last received event id. Browsers send it on reconnect.")
    ] = None,
    resume: Annotated[
        str | None, Query(alias="last_event_id", description="The same, for clients that cannot set headers.")
    ] = None,
) -> StreamingResponse:
    """One `snapshot` event per second (summary and top lists), and a `ticker` event per arrival.

    After arrivals, an `update` event brings the figures that they changed, at most ten times per second, and less often
    with many open streams. It has the summary and the top lists of spenders and products, as far as they changed.

    The first snapshot also contains arrivals: those since `Last-Event-ID` (at most 200), or the newest few. A `stale`
    event replaces the snapshot while the live tables cannot be read. An `end` event gives the reason why the gateway
    closes the stream, for example that the client is too slow. At high rates, arrivals are sampled. The schemas of
    the data are `StreamSnapshot`, `StreamUpdate` and `TickerEntry`. For the role `viewer` there are no top spenders,
    and `user_id` is null. The stream ends with its session or key.
    """
    dependencies = get_dependencies(request)
    hub, permits = dependencies.stream_hub, dependencies.stream_permits
    principal: Principal | None = request.state.principal
    persons = principal is None or principal.may(Access.PERSONS)
    client = hub.open(last_event_id or resume, owner_of(request.scope), persons=persons)
    if principal is not None:
        permits.watch(client, request.scope, Access.PERSONS if persons else Access.FIGURES)

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in client.messages():
                yield chunk
        finally:
            permits.leave(client)
            hub.leave(client)

    return StreamingResponse(body(), headers=_HEADERS, media_type="text/event-stream")
