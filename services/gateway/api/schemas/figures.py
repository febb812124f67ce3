"""Responses with the shop's figures, and the data of the stream's events."""

from typing import Annotated

from pydantic import Field

from services.gateway.api.schemas.base import Brand, CategoryCode, Id, Money, ProductName, ResponseModel, Timestamp


class Bucket(ResponseModel):
    """Sales of one time bucket, named by its start in the shop's time zone."""

    bucket: Annotated[str, Field(examples=["2020-04-01T00:00:00Z"])]
    revenue: Money
    quantity: int
    orders: int


class TopItem(ResponseModel):
    """One row of a top list. `share` of all revenue, null where that is 0; products have name, category and brand."""

    id: Id
    revenue: Money
    quantity: int
    share: Annotated[float | None, Field(examples=[0.0421])]
    name: str | None = None
    category_code: str | None = None
    brand: str | None = None


class Summary(ResponseModel):
    """The shop at a glance."""

    revenue: Money
    quantity: int
    orders: int
    buyers: Annotated[int, Field(description="Distinct known customers.")]
    events: Annotated[int, Field(description="Accepted purchase lines, each counted once.")]
    events_per_second: Annotated[
        float | None,
        Field(description="Arrivals over the last ten seconds; null within seconds of the gateway's start."),
    ]
    dead_letters: Annotated[int, Field(description="Distinct rejected records.")]
    freshness_ms: Annotated[
        int | None,
        Field(
            description="From the newest arrival until it is visible here; null before the first, and where the clocks "
            "of broker and aggregator contradict each other."
        ),
    ]
    lag: Annotated[int | None, Field(description="Records not yet applied; null while Kafka is unavailable.")]
    model_version: Annotated[
        str | None, Field(description="The serving model; null while the recommender is unavailable.")
    ]
    first_event: Annotated[Timestamp | None, Field(description="The oldest event time.")]
    last_event: Annotated[
        Timestamp | None,
        Field(description="The newest event time among those at most a day past the twentieth newest."),
    ]
    today: Annotated[Bucket | None, Field(description="Sales of the day of `last_event`; null before the first event.")]
    as_of: Annotated[Timestamp, Field(description="When these figures were read.")]


class TotalsReading(ResponseModel):
    """The all-time totals at one time. The sales between two readings are their difference."""

    as_of: Timestamp
    revenue: Money
    events: int


class DeadLetterCount(ResponseModel):
    """Distinct rejected records with one reason."""

    reason: Annotated[str, Field(examples=["bad_time"])]
    count: int


class TickerEntry(ResponseModel):
    """One arrival. `id` is the cursor after it, for `Last-Event-ID`; `user_id` is null for an anonymous purchase."""

    id: str
    arrived_at: Timestamp
    event_time: Timestamp
    order_id: Id
    user_id: str | None
    product_id: Id
    product_name: ProductName
    category_code: CategoryCode
    brand: Brand
    price: Money
    quantity: int
    revenue: Money


class StreamSnapshot(ResponseModel):
    """The data of a `snapshot` event; `ticker` holds arrivals only in the first one of a connection."""

    summary: Summary
    top: dict[str, list[TopItem]]
    ticker: list[TickerEntry]


class StreamUpdate(ResponseModel):
    """The data of an `update` event: figures that changed since the snapshot. `top` has only the lists that changed."""

    summary: Summary
    top: dict[str, list[TopItem]]
