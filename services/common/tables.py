"""The live tables in Redis: key names and the packing of figures. The aggregator writes them, the gateway reads.

State lives in S shards. All keys of a shard share one hash tag, so that one server-side script may use them
on a cluster. **Every reader sums over all shards**: additive tables (time buckets, categories, brands, totals)
live in the shard of the source partition, entity tables (user, product) in the shard of the entity, and the
number of distinct orders of anything in the shard of the order.

| key (after the shard's prefix) | type | content |
|---|---|---|
| `marks` | hash | `<topic>/<partition>` → mark: the next offset to apply; `stamp:…` → time of the record before it |
| | | `orders:<topic>/<partition>` → with several shards, the mark of `orders` |
| `missing` | hash | `<topic>/<partition>/<first offset>` → last offset: records lost before they were archived |
| `ledger` | hash | `<topic>/<partition>` → `revenue quantity events` of all its lines (`LedgerEntry`) |
| `rows:<topic>/<partition>` | hash | `<topic>/<partition>` → highest offset whose dead letter counted |
| `file_rows:<topic>/<partition>` | set | rejected rows of files that counted (`dead_letters.row_token`) |
| `orders` | hash | order_id → its entry: the lines that counted, and what counted the order (`order_entry`) |
| `order:<order_id>` | set | lines and counters of an order that is too large for one entry |
| `uncounted:<topic>/<partition>` | list | with several shards, offsets of lines that did not count: the newest |
| `replays` | hash | event id of every replayed dead letter that counted → its record |
| `totals` | hash | revenue, quantity, events, orders, buyers, first_event, last_event, minute_floor, … (`Totals`) |
| `sales:<granularity>:<period>` | hash | bucket start → figures |
| `category:<code or prefix>` | hash | `total`, `month:<start>`, `day:<start>` → figures |
| `categories`, `brands` | hash | full category code, brand → figures |
| `product:<product_id>` | hash | `total`, `month:<start>`, `day:<start>` → figures; `facts` → JSON of ProductFacts |
| `products`, `spenders` | sorted set | by **minus** revenue: ascending = revenue descending, then id ascending |
| `user:<user_id>` | hash | `total`, `month:<start>` → figures; `first_seen`, `last_seen` (ms) |
| `users` | sorted set | user ids, all with score 0, for prefix search |
| `purchases:<user_id>` | sorted set | the newest 50 lines by event time (ms): JSON of PurchaseLine |
| `ticker` | stream | the newest arrivals, field `line`: JSON of TickerLine |
| `newest_events` | sorted set | `<topic>/<partition>/<offset>` → event time: of the twenty newest events (ADR 88) |
| `arrivals` | hash | broker second → accepted lines; the newest 300 seconds |
| `lateness` | hash | upper bound in seconds (`inf` for the last) → lines that arrived so late after event_time |
| `dead_letters` | hash | reason → distinct rejected records and rows |

Times are UTC epoch: milliseconds for instants, seconds for bucket starts. Money is cents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Literal, NamedTuple

import msgspec

Granularity = Literal["month", "day", "hour", "minute"]

PURCHASES_KEPT = 50
TICKER_KEPT = 200
ARRIVALS_KEPT_SECONDS = 300
MINUTES_KEPT_SECONDS = 7 * 24 * 3600
LATENESS_BOUNDS_SECONDS = (1, 10, 60, 600, 3600, 86_400, 7 * 86_400, 30 * 86_400)


class Figures(NamedTuple):
    """Revenue in cents, quantity, and distinct orders of one bucket, product, brand, category or user."""

    revenue: int = 0
    quantity: int = 0
    orders: int = 0

    def __add__(self, other: object) -> "Figures":
        """Component-wise sum (not concatenation), as shards are added up."""
        if not isinstance(other, Figures):
            return NotImplemented
        return Figures(self.revenue + other.revenue, self.quantity + other.quantity, self.orders + other.orders)


def parse_figures(text: str | bytes | None) -> Figures:
    """Figures from their packed form `revenue quantity orders`; zeros where there is no entry."""
    if not text:
        return Figures()
    revenue, quantity, orders = text.split()
    return Figures(int(revenue), int(quantity), int(orders))


def sum_figures(hashes: Sequence[Mapping[str, str]]) -> dict[str, Figures]:
    """Field → figures, summed over hashes of packed figures, such as one table in every shard."""
    if len(hashes) == 1:
        return {field: parse_figures(packed) for field, packed in hashes[0].items()}
    summed: dict[str, Figures] = {}
    for field, packed in chain.from_iterable(fields.items() for fields in hashes):
        summed[field] = summed.get(field, Figures()) + parse_figures(packed)
    return summed


class LedgerEntry(NamedTuple):
    """The ledger's entry of one source partition: revenue in cents, quantity, accepted lines."""

    revenue: int = 0
    quantity: int = 0
    events: int = 0


def parse_ledger_entry(text: str | bytes) -> LedgerEntry:
    """A ledger's entry from its packed form `revenue quantity events`."""
    revenue, quantity, events = text.split()
    return LedgerEntry(int(revenue), int(quantity), int(events))


class ProductFacts(msgspec.Struct, frozen=True, gc=False):
    """A product as of its newest line by event time. Price in cents."""

    product_name: str | None
    category_id: str | None
    category_code: str | None
    brand: str | None
    price: int
    event_time: int


class PurchaseLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of a customer's history. `origin` (`<topic>/<partition>/<offset>`) keeps two equal lines apart."""

    origin: str
    event_time: int
    order_id: str
    product_id: str
    product_name: str | None
    category_code: str | None
    brand: str | None
    price: int
    quantity: int
    revenue: int


class TickerLine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One arrival as the ticker shows it. `arrived_at` is the broker's time.

    `traceparent`: of the step that applied it, where it is traced.
    """

    arrived_at: int
    event_time: int
    order_id: str
    user_id: str | None
    product_id: str
    product_name: str | None
    category_code: str | None
    brand: str | None
    price: int
    quantity: int
    revenue: int
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names of one shard. `generation` lets a rebuild fill fresh tables next to the live ones."""

    tag: str
    generation: str = "1"

    def __call__(self, table: str) -> str:
        """The full key of a table named above, e.g. `keys("user:42")`."""
        return f"tillstream:{self.generation}:{{{self.tag}}}:{table}"


def shard_keys(shards: int, generation: str = "1") -> list[Keys]:
    """The keys of each of `shards` shards, their tags spread evenly over a cluster's slots."""
    return [Keys(tag, generation) for tag in shard_tags(shards)]


def shard_tags(shards: int) -> list[str]:
    """One hash tag a shard: the smallest number whose slot lies in the shard's share of the slots."""
    if not 1 <= shards <= 1024:
        raise ValueError(f"shards must be 1 to 1024, not {shards}")
    tags: dict[int, str] = {}
    number = 0
    while len(tags) < shards:
        tag = str(number)
        tags.setdefault(slot_of(tag) * shards // 16384, tag)
        number += 1
    return [tags[shard] for shard in range(shards)]


def slot_of(tag: str) -> int:
    """The Redis Cluster slot of a hash tag: CRC16 (XMODEM) modulo 16384, as in the cluster specification."""
    crc = 0
    for byte in tag.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % 16384


def period_of(granularity: Granularity, local_start: datetime) -> str:
    """The period whose hash holds a bucket, from the bucket's start on the shop's calendar."""
    match granularity:
        case "month":
            return "all"
        case "day":
            return f"{local_start:%Y}"
        case "hour":
            return f"{local_start:%Y-%m}"
        case "minute":
            return f"{local_start:%Y-%m-%d}"
