"""The shop's figures: summary, sales over time, top lists."""

from http import HTTPStatus
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from fastapi import Query, Request, Response

from services.common.money import format_cents
from services.common.tables import Granularity
from services.common.times import format_time
from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router, require
from services.gateway.api.params import Category, From, To, time_range
from services.gateway.api.presence import busy, while_present
from services.gateway.api.problems import Problem, bad_field
from services.gateway.api.schemas.figures import Bucket, DeadLetterCount, Summary, TopItem, TotalsReading
from services.gateway.api.schemas.reconciliation import ReconciliationResponse
from services.gateway.dependencies import Dependencies, get_dependencies
from services.gateway.queries.buckets import Range
from services.gateway.queries.figures import by_count
from services.gateway.queries.ranges import MAX_PLACES, TooManyProducts, TooManyRankings
from services.gateway.queries.rankings import Board, Ranked, read_top
from services.gateway.queries.sales import MAX_BUCKETS, Coarse, Series, read_category_sales, read_shop_sales
from services.gateway.stream.shop_state import bucket_of, top_item

router = guarded_router(prefix="/v1/stats", tags=["figures"])

_RANGE = "Products and categories only: days that start at `from` or later, and before `to` (RFC 3339)."

MINUTE_FLOOR_HEADER = "Tillstream-Minute-Floor"
CUT_HEADER = "Tillstream-Cut"
SERIES_HEADERS = {
    MINUTE_FLOOR_HEADER: {
        "description": "With minutes: there are no minute buckets before this time.",
        "schema": {"type": "string", "format": "date-time"},
    },
    CUT_HEADER: {
        "description": f"Present where the response is limited to the newest {MAX_BUCKETS:,} buckets.",
        "schema": {"type": "string"},
    },
}


@router.get("/summary", summary="The shop at a glance")
@gives(Access.FIGURES)
async def summary(request: Request) -> Summary:
    """All-time totals, the arrival rate, lag and freshness, read once a second."""
    state = get_dependencies(request).shop_state.latest
    if state is None:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "the live tables cannot be read at the moment", {"Retry-After": "1"}
        )
    return state.summary()


@router.get(
    "/sales",
    summary="Sales over time",
    response_model=list[Bucket],
    responses={200: {"headers": SERIES_HEADERS}},
)
@gives(Access.FIGURES)
async def sales(
    request: Request,
    response: Response,
    *,
    granularity: Granularity = "month",
    start: From = None,
    to: To = None,
    category: Category = None,
) -> list[Bucket]:
    """Buckets of event time in the shop's time zone, oldest first, without empty ones.

    A bucket belongs to the range if its start does. With a category, the granularity must be month or day.
    """
    shards = get_dependencies(request).shards
    zone = shards.generation.zone
    wanted = time_range(start, to)
    if category is None:
        series = await read_shop_sales(shards, zone, granularity, wanted)
    else:
        series = await read_category_sales(shards, category, coarse(granularity), wanted)
    return series_response(series, zone, response)


def coarse(granularity: Granularity) -> Coarse:
    """Month or day. Raises Problem 422 for a finer granularity, which only the whole shop has."""
    if granularity == "hour" or granularity == "minute":  # noqa: PLR1714 (narrows the type)
        raise bad_field("granularity", f"must be month or day for a category or a product, not {granularity}")
    return granularity


def series_response(series: Series, zone: ZoneInfo, response: Response) -> list[Bucket]:
    """The buckets as the route responds. Headers say what is missing."""
    if series.minute_floor is not None:
        response.headers[MINUTE_FLOOR_HEADER] = format_time(series.minute_floor * 1000)
    if series.cut:
        response.headers[CUT_HEADER] = f"only the newest {MAX_BUCKETS} buckets"
    return [bucket_of(row, zone) for row in series.rows]


@router.get("/pulse", summary="History of the totals, second by second", response_model=list[TotalsReading])
@gives(Access.FIGURES)
async def pulse(request: Request) -> Response:
    """The totals at each of the newest 1,000 readings, one a second, oldest first.

    Sales per second are their differences. A page continues the line with each `snapshot` event of the stream. Seconds
    in which the live tables could not be read are missing.
    """
    readings = [
        {"as_of": format_time(taken_ms), "revenue": format_cents(revenue), "events": events}
        for taken_ms, revenue, events in get_dependencies(request).totals_history.readings()
    ]
    return Response(msgspec.json.encode(readings), media_type="application/json")


@router.get("/dead-letters", summary="Dead letters by reason")
@gives(Access.FIGURES)
async def dead_letters(request: Request) -> list[DeadLetterCount]:
    """Distinct rejected records by reason, most frequent first."""
    (counts,) = await get_dependencies(request).shards.query(lambda pipe, keys: pipe.hgetall(keys("dead_letters")))
    return [DeadLetterCount(reason=reason, count=count) for reason, count in by_count(counts)]


@router.get("/top/{board}", summary="Top lists")
@gives(Access.FIGURES)
async def top(
    request: Request,
    *,
    board: Board,
    n: Annotated[int, Query(ge=1, le=MAX_PLACES, description="Number of rows.")] = 10,
    start: Annotated[From, Query(alias="from", description=_RANGE)] = None,
    to: Annotated[To, Query(description=_RANGE)] = None,
) -> list[TopItem]:
    """By revenue descending, then id ascending. `share` is the part of all revenue, null where that is 0.

    With `from` or `to`, products and categories are ranked by the days that start within the range. `share` is then
    the part of those days' revenue, and entries without sales are omitted. Such a ranking is cached: ten seconds for
    categories, a minute for products. Customers and brands have no sales by day, so a range is an error (422). So is
    a range of products in a shop with more than 25,000. 503 where eight other ranges are being read, or after 10 s.

    `spenders` needs the role `analyst`.
    """
    if board == "spenders":
        await require(request, Access.PERSONS)
    dependencies = get_dependencies(request)
    if start is None and to is None:
        ranked = await read_top(dependencies.shards, board, n)
    else:
        ranked = await while_present(request, _top_of_range(dependencies, board, time_range(start, to), n))
    return [top_item(place) for place in ranked]


async def _top_of_range(dependencies: Dependencies, board: Board, wanted: Range, n: int) -> list[Ranked]:
    if board != "products" and board != "categories":  # noqa: PLR1714 (narrows the type)
        raise bad_field("from", f"{board} are ranked since the beginning only: their sales are not kept by day")
    try:
        return await dependencies.range_rankings.read(dependencies.shards, board, wanted, n)
    except TooManyProducts as error:
        raise bad_field("from", str(error)) from None
    except TooManyRankings as error:
        raise busy(str(error)) from None


@router.get("/reconciliation", summary="Reconciliation with the batch job")
@gives(Access.FIGURES)
async def reconciliation(request: Request) -> ReconciliationResponse:
    """The batch job recomputes every figure from the archive and compares it with the live figure at equal offsets.

    This is the result of its latest run. Before the first run, `status` is `none`.
    """
    return get_dependencies(request).reconciliation.response()
