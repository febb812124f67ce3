"""Totals, customers and products from the live tables, summed over all shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

import msgspec

from services.common.categories import UNKNOWN
from services.common.tables import PURCHASES_KEPT, Figures, ProductFacts, PurchaseLine
from services.gateway.queries.figures import Hash, Totals, figures_sum, totals_of
from services.gateway.queries.shards import ShardReader

_facts = msgspec.json.Decoder(ProductFacts)
_line = msgspec.json.Decoder(PurchaseLine)
_MONTH = "month:"


@dataclass(frozen=True, slots=True)
class CustomerRecord:
    """A customer's totals; times in epoch milliseconds, newest purchases first.

    `months`: start in epoch seconds → figures. They sum up to the total, unless the tables were filled before they
    held months.
    """

    user_id: str
    total: Figures
    months: dict[int, Figures]
    first_seen: int | None
    last_seen: int | None
    purchases: list[PurchaseLine]


@dataclass(frozen=True, slots=True)
class Product:
    """A product's totals, and its facts from the newest line."""

    product_id: str
    total: Figures
    facts: ProductFacts | None


class Described(Protocol):
    """Anything that describes a product."""

    @property
    def product_name(self) -> str | None: ...
    @property
    def category_code(self) -> str | None: ...
    @property
    def brand(self) -> str | None: ...


class Description(TypedDict):
    """The texts of a product as the API shows them."""

    product_name: str
    category_code: str
    brand: str


def described(facts: Described | None) -> Description:
    """Name, category and brand of a product, `unknown` where one is missing."""
    return {
        "product_name": (facts and facts.product_name) or UNKNOWN,
        "category_code": (facts and facts.category_code) or UNKNOWN,
        "brand": (facts and facts.brand) or UNKNOWN,
    }


async def read_totals(shards: ShardReader) -> Totals:
    """The totals of the whole shop."""
    (totals,) = await shards.query(lambda pipe, keys: pipe.hgetall(keys("totals")))
    return totals_of(totals)


async def read_customer(shards: ShardReader, user_id: str) -> CustomerRecord | None:
    """A customer with the latest purchases; None for an unknown id."""
    entries, lines = await shards.query(
        lambda pipe, keys: (
            pipe.hgetall(keys(f"user:{user_id}")),
            pipe.zrevrange(keys(f"purchases:{user_id}"), 0, PURCHASES_KEPT - 1),
        )
    )
    if not any(entries):
        return None

    def known(field: str) -> list[str]:
        return [entry[field] for entry in entries if field in entry]

    return CustomerRecord(
        user_id,
        figures_sum(known("total")),
        _months(entries),
        min(map(int, known("first_seen")), default=None),
        max(map(int, known("last_seen")), default=None),
        _newest(lines),
    )


def _months(entries: Sequence[Hash]) -> dict[int, Figures]:
    fields = sorted({field for entry in entries for field in entry if field.startswith(_MONTH)})
    return {int(field.removeprefix(_MONTH)): figures_sum(entry.get(field) for entry in entries) for field in fields}


def _newest(shards: Sequence[Sequence[str]]) -> list[PurchaseLine]:
    lines = [_line.decode(line) for shard in shards for line in shard]
    return sorted(lines, key=lambda line: line.event_time, reverse=True)[:PURCHASES_KEPT]


async def read_purchased(shards: ShardReader, user_ids: Sequence[str]) -> list[set[str]]:
    """For each customer, the products of the latest purchases, without those that were returned."""

    def commands(pipe: Any, keys: Any) -> None:
        for user_id in user_ids:
            pipe.zrevrange(keys(f"purchases:{user_id}"), 0, PURCHASES_KEPT - 1)

    return [_kept(_newest(lines)) for lines in await shards.query(commands)]


def _kept(lines: Sequence[PurchaseLine]) -> set[str]:
    pieces: dict[str, int] = {}
    for line in lines:
        pieces[line.product_id] = pieces.get(line.product_id, 0) + line.quantity
    return {product_id for product_id, count in pieces.items() if count > 0}


async def read_product(shards: ShardReader, product_id: str) -> Product | None:
    """A product's totals and facts; None for an unknown id."""
    (product,) = await read_products(shards, [product_id])
    return product if product.facts or product.total != Figures() else None


async def read_products(shards: ShardReader, product_ids: Sequence[str]) -> list[Product]:
    """Totals and facts of products, in the order of the ids; empty for unknown ids."""

    def commands(pipe: Any, keys: Any) -> None:
        for product_id in product_ids:
            pipe.hmget(keys(f"product:{product_id}"), ["total", "facts"])

    replies = await shards.query(commands) if product_ids else []
    return [_product(product_id, entries) for product_id, entries in zip(product_ids, replies, strict=True)]


def _product(product_id: str, entries: Sequence[Sequence[str | None]]) -> Product:
    facts = [_facts.decode(packed) for _total, packed in entries if packed]
    newest = max(facts, key=lambda fact: fact.event_time, default=None)
    return Product(product_id, figures_sum(total for total, _facts in entries), newest)
