"""The response schemas. Money is a decimal string with two places, ids are strings, times are RFC 3339."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.common.reconciliation import Figure, Table

Money = Annotated[str, Field(pattern=r"^-?\d+\.\d\d$", examples=["1234.50"])]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2020-04-24T11:50:39Z"])]
Id = Annotated[str, Field(examples=["1515915625441993984"])]
ProductName = Annotated[str, Field(description="`unknown` where no name is known.", examples=["Galaxy"])]
CategoryCode = Annotated[str, Field(description="`unknown` where none is known.", examples=["electronics.smartphone"])]
Brand = Annotated[str, Field(description="`unknown` where none is known.", examples=["samsung"])]
ModelVersion = Annotated[str, Field(examples=["20261122T101500Z-0a1b2c"])]
VariantName = Annotated[
    str,
    Field(description="`main`, or the name of the A/B variant that answered; null for a fallback.", examples=["main"]),
]
StateAge = Annotated[
    int | None,
    Field(
        description="Age in milliseconds of what the model has read of the purchase stream; null where it has read"
        " nothing since its training cut-off."
    ),
]
Strategy = Literal["personal", "basket", "similar", "popular", "popular_fallback"]


class ResponseModel(BaseModel):
    """The base of all responses. Undeclared fields are errors."""

    model_config = ConfigDict(extra="forbid")


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
    events_per_second: Annotated[float, Field(description="Arrivals over the last ten seconds.")]
    dead_letters: Annotated[int, Field(description="Distinct rejected records.")]
    freshness_ms: Annotated[
        int | None, Field(description="From the newest arrival until it is visible here; null before the first.")
    ]
    lag: Annotated[int | None, Field(description="Records not yet applied; null while Kafka is unavailable.")]
    model_version: Annotated[
        str | None, Field(description="The serving model; null while the recommender is unavailable.")
    ]
    first_event: Annotated[Timestamp | None, Field(description="The oldest event time.")]
    last_event: Annotated[Timestamp | None, Field(description='The newest event time; "today" is its day.')]
    today: Annotated[Bucket | None, Field(description="Sales of the newest event's day; null before the first event.")]
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


class PurchaseEntry(ResponseModel):
    """One line of a customer's history."""

    event_time: Timestamp
    order_id: Id
    product_id: Id
    product_name: ProductName
    category_code: CategoryCode
    brand: Brand
    price: Money
    quantity: int
    revenue: Money


class CustomerResponse(ResponseModel):
    """A customer's totals and latest purchases, the newest first."""

    user_id: Id
    revenue: Money
    quantity: int
    orders: int
    first_seen: Timestamp | None
    last_seen: Timestamp | None
    months: Annotated[
        list[Bucket],
        Field(
            description="Spend by month, oldest first, without empty months. The sum is below the totals where the live"
            " tables were filled before they held months."
        ),
    ]
    purchases: list[PurchaseEntry]


class ProductResponse(ResponseModel):
    """A product as the newest purchase described it, with its totals."""

    product_id: Id
    product_name: ProductName
    category_id: str | None
    category_code: CategoryCode
    brand: Brand
    price: Money | None
    revenue: Money
    quantity: int
    orders: int


class ReasonEntry(ResponseModel):
    """Why a product is recommended; `weight` is the part of the score that this reason contributes."""

    code: Annotated[
        str,
        Field(
            description="The largest term of the score: bought_together, customers_like_you, category, bought_before, "
            "popular or similar. Later versions may add codes.",
            examples=["bought_together"],
        ),
    ]
    product_id: Annotated[
        str | None,
        Field(description="The product of the purchases or the basket that contributes most to that term."),
    ]
    weight: float


class RecommendedItem(ResponseModel):
    """One recommended product."""

    product_id: Id
    product_name: ProductName
    category_code: CategoryCode
    brand: Brand
    price: Money | None
    score: float
    reason: ReasonEntry


class Recommendations(ResponseModel):
    """Products for a customer or a basket, the best first, and which strategy found them."""

    user_id: Annotated[str | None, Field(description="Null for a basket.")]
    strategy: Strategy
    model_version: ModelVersion | None
    variant: Annotated[
        str | None, Field(description="`main`, or the name of the A/B variant that answered; null for a fallback.")
    ]
    state_age_ms: StateAge
    items: list[RecommendedItem]
    message: Annotated[str | None, Field(description="Says why `items` is empty.")] = None
    unknown_product_ids: Annotated[
        list[str] | None, Field(description="Products of the basket that the model does not know. They are ignored.")
    ] = None


class RecommendationList(ResponseModel):
    """One result per requested customer, in request order, or one for a basket."""

    results: list[Recommendations]


class SimilarProducts(ResponseModel):
    """Products like one product."""

    product_id: Id
    strategy: Strategy
    model_version: ModelVersion | None
    variant: Annotated[
        str | None, Field(description="`main`, or the name of the A/B variant that answered; null for a fallback.")
    ]
    state_age_ms: StateAge
    items: list[RecommendedItem]
    message: str | None = None


class EventVerdict(ResponseModel):
    """The result of one submitted event."""

    index: int
    status: Literal["accepted", "rejected", "unconfirmed"]
    reason: Annotated[str | None, Field(description="The reason code of a rejected event.", examples=["bad_price"])] = (
        None
    )
    detail: str | None = None
    partition: int | None = None
    offset: int | None = None


class EventsResponse(ResponseModel):
    """A verdict per event, in request order."""

    accepted: int
    rejected: int
    verdicts: list[EventVerdict]


class Component(ResponseModel):
    """The state of one service or engine."""

    name: Annotated[str, Field(examples=["aggregator"])]
    kind: Literal["service", "engine"]
    status: Annotated[Literal["ok", "not_ready", "unreachable", "unknown"], Field(examples=["ok"])]
    detail: str
    version: str | None = None
    rate: Annotated[float | None, Field(description="Events a second.")] = None
    lag: Annotated[int | None, Field(description="Records behind.")] = None
    figures: dict[str, Any] = {}


class SystemResponse(ResponseModel):
    """Every service and engine, as last polled."""

    healthy: Annotated[bool, Field(description="Whether all but the producer are `ok`.")]
    as_of: Timestamp | None
    parts: list[Component]


class Variant(ResponseModel):
    """An A/B variant: a model that serves a fixed share of the customers."""

    name: Annotated[str, Field(examples=["trial"])]
    version: ModelVersion
    weight: Annotated[float, Field(description="Share of the customers.", examples=[0.1])]


class Pointer(ResponseModel):
    """The model to serve, since when and by whom. `main` serves the customers of no variant."""

    version: ModelVersion
    activated_at: Timestamp | None
    activated_by: str | None
    note: str = ""
    variants: list[Variant] = []
    previous: Annotated[str | None, Field(description="The previous version: activate it to roll back.")] = None


class ModelEntry(ResponseModel):
    """One published model, from its manifest."""

    version: ModelVersion
    format_version: int | None
    live: Annotated[bool, Field(description="Whether the pointer names it, so that it is served.")]
    created_at: Timestamp | None
    algorithm: str | None
    rank: int | None
    users: int | None
    items: int | None
    training: dict[str, Any]
    settings: dict[str, Any]
    metrics: dict[str, Any]
    counts: dict[str, Any]
    composition: Annotated[
        dict[str, Any] | None,
        Field(description="Weights of the terms of a score, as the validation chose them."),
    ]
    gate: Annotated[
        dict[str, Any] | None, Field(description="The gate decision when it was published, with its figures.")
    ]


class ModelList(ResponseModel):
    """All published models, the newest first."""

    current: Pointer | None
    serving: Annotated[str | None, Field(description="The version that the recommender serves.")]
    refused_version: Annotated[str | None, Field(description="The version that the recommender refused to load.")]
    refused_reason: str | None
    composition: Annotated[str | None, Field(description="The weights of the served model, in words.")]
    state_age_ms: StateAge = None
    gate: Annotated[dict[str, Any] | None, Field(description="The gate decision of the newest training run.")]
    models: list[ModelEntry]


class ClockResponse(ResponseModel):
    """The gateway's time."""

    now: Timestamp


class ConfigResponse(ResponseModel):
    """Currency, time zone and version: what a page needs before the first figure."""

    currency: Annotated[str, Field(examples=["USD"])]
    time_zone: Annotated[str, Field(examples=["UTC"])]
    version: Annotated[str, Field(examples=["1.2.3"])]
    commit: Annotated[str | None, Field(examples=["0123456789ab"], description="null where it is not known")]


class ReconciliationDrift(ResponseModel):
    """Live figures minus those of the batch job; null for a figure that could not be compared."""

    revenue: Money
    quantity: int
    events: int | None
    orders: int | None
    buyers: int | None


class ReconciliationDifference(ResponseModel):
    """One figure that differs, and its place in the tables."""

    table: Annotated[Table, Field(description="The live table that differs; `totals` is the whole shop.")]
    figure: Figure
    bucket: Annotated[str | None, Field(description="Its start, for month, day and hour.")]
    partition: Annotated[str | None, Field(description="`<topic>/<partition>`, for a partition.")]
    entry: Annotated[str | None, Field(description="The code or name, for a category or brand.")]
    live: str
    batch: str


class ReconciliationResponse(ResponseModel):
    """Whether the batch job's figures, computed from the archive, equal the live figures."""

    status: Annotated[
        Literal["agree", "differ", "none"], Field(description="`none`: nothing was compared; `message` says why.")
    ]
    message: Annotated[str, Field(examples=["the books agree to the cent up to 2026-11-22T14:32:10Z"])]
    as_of: Annotated[Timestamp | None, Field(description="All records up to this broker time were compared.")] = None
    checked_at: Annotated[Timestamp | None, Field(description="When the batch job compared.")] = None
    basis: Annotated[
        Literal["offsets", "hours"] | None,
        Field(description="`hours`: the archive has no offsets, so only completed hours were compared."),
    ] = None
    compared: Annotated[int, Field(description="Figures compared.")] = 0
    differing: Annotated[int, Field(description="Figures that differ.")] = 0
    drift: ReconciliationDrift | None = None
    differences: Annotated[
        list[ReconciliationDifference], Field(description="The first differences, broadest table first.")
    ] = []
    version: Annotated[str | None, Field(description="The run of the batch job.")] = None
