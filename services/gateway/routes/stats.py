"""The shop's figures: summary, sales over time, top lists."""

from http import HTTPStatus
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from services.common.events import format_time
from services.common.money import format_cents
from services.common.tables import Granularity
from services.gateway.answers import Bucket, DeadLetterCount, ReconciliationAnswer, Summary, TopItem
from services.gateway.buckets import bucket_time
from services.gateway.figures import by_count
from services.gateway.params import Category, From, To, time_range
from services.gateway.parts import parts_of
from services.gateway.problems import Problem, bad_field
from services.gateway.rankings import Board, read_top
from services.gateway.sales import MAX_BUCKETS, Coarse, Series, read_category_sales, read_shop_sales
from services.gateway.snapshot import top_item

router = APIRouter(prefix="/v1/stats", tags=["figures"])

MINUTE_FLOOR_HEADER = "Tillstream-Minute-Floor"
CUT_HEADER = "Tillstream-Cut"
SERIES_HEADERS = {
    MINUTE_FLOOR_HEADER: {
        "description": "With minutes: sales before this time are no longer kept by the minute.",
        "schema": {"type": "string", "format": "date-time"},
    },
    CUT_HEADER: {
        "description": f"Present where only the newest {MAX_BUCKETS:,} buckets were answered.",
        "schema": {"type": "string"},
    },
}


@router.get("/summary", summary="The shop at a glance")
async def summary(request: Request) -> Summary:
    """All totals since the beginning, what arrives now, and how current that is (read once a second)."""
    snapshot = parts_of(request).snapshots.latest
    if snapshot is None:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "the live tables cannot be read at the moment", {"Retry-After": "1"}
        )
    return snapshot.summary()


@router.get(
    "/sales",
    summary="Sales over time",
    response_model=list[Bucket],
    responses={200: {"headers": SERIES_HEADERS}},
)
async def sales(
    request: Request,
    response: Response,
    *,
    granularity: Granularity = "month",
    start: From = None,
    to: To = None,
    category: Category = None,
) -> list[Bucket]:
    """Buckets of event time in the shop's time zone, oldest first; empty ones are left out.

    A bucket belongs to the range if its start does. With a category, granularity is month or day.
    """
    shards = parts_of(request).shards
    zone = shards.generation.zone
    wanted = time_range(start, to)
    if category is None:
        series = await read_shop_sales(shards, zone, granularity, wanted)
    else:
        series = await read_category_sales(shards, category, coarse(granularity), wanted)
    return answer_series(series, zone, response)


def coarse(granularity: Granularity) -> Coarse:
    """Month or day. Raises a 422 problem for a finer one: only the whole shop has those."""
    if granularity == "hour" or granularity == "minute":  # noqa: PLR1714 (narrows the type)
        raise bad_field("granularity", f"must be month or day for a category or a product, not {granularity}")
    return granularity


def answer_series(series: Series, zone: ZoneInfo, response: Response) -> list[Bucket]:
    """The buckets as answered; what is left out is said in the headers."""
    if series.minute_floor is not None:
        response.headers[MINUTE_FLOOR_HEADER] = format_time(series.minute_floor * 1000)
    if series.cut:
        response.headers[CUT_HEADER] = f"only the newest {MAX_BUCKETS} buckets"
    return [
        Bucket(
            bucket=bucket_time(start, zone),
            revenue=format_cents(figures.revenue),
            quantity=figures.quantity,
            orders=figures.orders,
        )
        for start, figures in series.rows
    ]


@router.get("/dead-letters", summary="What could not be accepted")
async def dead_letters(request: Request) -> list[DeadLetterCount]:
    """Distinct records in the dead letters by the reason why they are there, the most frequent first."""
    (counts,) = await parts_of(request).shards.ask(lambda pipe, keys: pipe.hgetall(keys("dead_letters")))
    return [DeadLetterCount(reason=reason, count=count) for reason, count in by_count(counts)]


@router.get("/top/{board}", summary="Who and what sells most")
async def top(
    request: Request,
    board: Board,
    n: Annotated[int, Query(ge=1, le=1000, description="How many places.")] = 10,
) -> list[TopItem]:
    """By revenue descending, then id ascending. `share` is the part of all revenue, null where that is 0."""
    return [top_item(ranked) for ranked in await read_top(parts_of(request).shards, board, n)]


@router.get("/reconciliation", summary="Whether the books agree")
async def reconciliation(request: Request) -> ReconciliationAnswer:
    """The batch job computes every figure anew from the archive and compares it with the live one of the same moment.

    This is what its latest run found. Before the first one, `status` is `none`.
    """
    return parts_of(request).books.answer()
