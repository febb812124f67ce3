"""The tables of a model on the driver: all lines of a shop in one process, in NumPy and Arrow.

For shops whose lines fit, where jobs and shuffles of Spark's would take longer than the arithmetic. Beyond,
`spark/features.py` makes the same tables (tests/integration/test_spark_features.py compares all of them).
See docs/adr/0126-model-tables-on-the-driver.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.als_settings import AlsSettings
from recsys.co_purchases import CoPurchases
from recsys.decayed_counts import DAY_MS, HOUR_MS, decay_factor
from recsys.evaluation import purchase_log
from recsys.evaluation.purchase_log import log_of_table
from recsys.evaluation.training_view import POPULAR_DAYS, TrainingView, view_at
from recsys.model_format import TABLES
from recsys.topk import Float64s, Int64s
from spark.driver_als import factors_of
from spark.features import FADED, POPULAR_AT_LEAST
from spark.numbering import numbered_in_memory

Flags = NDArray[np.bool_]
PLACE = ("event_time", "timestamp", "partition", "offset")
"""What orders the lines of a product; the last one has its facts."""
FACTS = ("product_name", "category_code", "brand", "price")
COLUMNS = tuple(dict.fromkeys((*purchase_log.COLUMNS, *PLACE, *FACTS)))
"""Columns of the curated purchases that the tables depend on."""


@dataclass(frozen=True, slots=True)
class ShopLines:
    """All lines of a shop: what is known after the last of them, its catalogue, and the ids by row of the view."""

    view: TrainingView
    catalogue: pa.Table
    products: "pa.Array[Any]"
    newest_ms: int


def shop_lines(lines: pa.Table, newest_ms: int) -> ShopLines:
    """The lines (`COLUMNS`, in any order) of a shop whose newest ones are at `newest_ms`, the event-time watermark."""
    facts, log = catalogue(lines), log_of_table(lines)
    # Both have the products in the order of their ids.
    codes = facts["category_code"].combine_chunks()
    numbers = pc.index_in(codes, pc.drop_null(codes).unique().sort()).fill_null(-1)
    log = replace(log, category=numbers.to_numpy().astype(np.int32))
    view = view_at(log, int(log.at_ms[-1]) + 1)
    return ShopLines(view, facts, pa.array(view.log.products, pa.string()), newest_ms)


def model_tables(shop: ShopLines, als: AlsSettings, half_lives_h: Iterable[float]) -> dict[str, pa.Table]:
    """Every table that the model format declares, by name, with its columns."""
    users, items = factors(shop.view, als)
    tables = {
        "user_factors": users,
        "item_factors": items,
        "catalogue": shop.catalogue,
        "popularity": popularity(shop),
        "known_purchases": known_purchases(shop),
        "co_purchases": neighbours(shop.view.co_purchases, shop.products, "buyers"),
        "order_pairs": neighbours(shop.view.order_pairs, shop.products, "orders"),
        "category_ties": category_ties(shop),
        "trends": trends(shop, half_lives_h),
    }
    return {name: tables[name].select(TABLES[name].columns.names).cast(TABLES[name].columns) for name in TABLES}


def factors(view: TrainingView, als: AlsSettings) -> tuple[pa.Table, pa.Table]:
    """Of every customer with net purchases (user_id, factors), and of every product in them (product_id, factors)."""
    net, log = view.net_purchases, view.log
    buyers, customers = np.unique(net.customers, return_inverse=True)
    users, items = factors_of(customers, net.rows, net.quantity, als)
    user_ids = [log.users[buyer] for buyer in buyers.tolist()]
    product_ids = [*log.products[: view.scored]]
    return pa.table({"user_id": user_ids, "factors": users}), pa.table({"product_id": product_ids, "factors": items})


def catalogue(lines: pa.Table) -> pa.Table:
    """Each product's facts in its newest line, and when it was last sold; by id. See `features.catalogue`."""
    ids, product = numbered_in_memory(lines["product_id"])
    place = [lines[name].combine_chunks().fill_null(-1).to_numpy() for name in PLACE]
    order = np.lexsort((*reversed(place), product))
    newest = order[np.append(np.flatnonzero(np.diff(product[order])), len(order) - 1)]
    sold, last_sold = lines["quantity"].to_numpy() > 0, np.full(len(ids), np.iinfo(np.int64).min)
    np.maximum.at(last_sold, product[sold], place[0][sold])
    never = np.bincount(product[sold], minlength=len(ids)) == 0
    facts = lines.select(FACTS).take(pa.array(newest))
    columns = [ids, *facts.columns, pa.array(last_sold, mask=never)]
    return pa.table(columns, ["product_id", *FACTS[:-1], "price_cents", "last_sold_ms"])


def popularity(shop: ShopLines) -> pa.Table:
    """product_id, score, best first. See `features.popularity`."""
    log = shop.view.log
    sold = log.quantity > 0
    week = _lines_of_products(shop, sold & (log.at_ms > shop.newest_ms - POPULAR_DAYS * DAY_MS))
    ever = np.bincount(log.rows[sold], minlength=len(shop.products))
    best = _ranked(shop, week.astype(np.float64), week > 0)
    others = _ranked(shop, ever / (ever + 1), (week == 0) & (ever > 0))
    return pa.concat_tables([best, others.slice(0, max(POPULAR_AT_LEAST - len(best), 0))])


def _lines_of_products(shop: ShopLines, chosen: Flags) -> Int64s:
    """The number of the chosen lines of each product up to the watermark."""
    log = shop.view.log
    return np.bincount(log.rows[chosen & (log.at_ms <= shop.newest_ms)], minlength=len(shop.products))


def _ranked(shop: ShopLines, score: Float64s, chosen: Flags) -> pa.Table:
    table = _by_product(shop, chosen, score=score)
    return table.sort_by([("score", "descending"), ("product_id", "ascending")])


def _by_product(shop: ShopLines, chosen: Flags, **columns: Float64s) -> pa.Table:
    rows = np.flatnonzero(chosen)
    return pa.table({"product_id": shop.products.take(rows), **{n: _array(v[rows]) for n, v in columns.items()}})


def known_purchases(shop: ShopLines) -> pa.Table:
    """user_id, and product_ids (ascending), pieces and bought_ms of each: the net purchases of each known user."""
    net = shop.view.net_purchases
    buyers, first = np.unique(net.customers, return_index=True)
    starts = np.append(first, len(net.customers))
    return pa.table(
        {
            "user_id": [shop.view.log.users[buyer] for buyer in buyers.tolist()],
            "product_ids": _lists(starts, shop.products.take(net.rows)),
            "pieces": _lists(starts, _array(net.quantity)),
            "bought_ms": _lists(starts, _array(net.at_ms)),
        }
    )


def neighbours(pairs: CoPurchases, products: "pa.Array[Any]", total: str) -> pa.Table:
    """product_id, `total`, neighbour_ids, counts: of each product in a group, and those it has most groups with."""
    held = np.flatnonzero(pairs.buyers)  # no other product has neighbours
    starts = np.append(pairs.starts[held], pairs.starts[-1])
    return pa.table(
        {
            "product_id": products.take(held),
            total: _array(pairs.buyers[held]),
            "neighbour_ids": _lists(starts, products.take(pairs.rows)),
            "counts": _lists(starts, _array(pairs.counts)),
        }
    )


def category_ties(shop: ShopLines) -> pa.Table:
    """category_code, towards, tie: the affinities above 0. See `features.category_ties`."""
    ties, known = shop.view.categories, np.flatnonzero(shop.view.categories.of >= 0)
    row_of = np.zeros(len(ties.affinity), np.int64)
    row_of[ties.of[known]] = known  # some product of each category
    places = pc.index_in(shop.products.take(row_of), shop.catalogue["product_id"].combine_chunks())
    codes = shop.catalogue["category_code"].combine_chunks().take(places)
    one, other = np.nonzero(ties.affinity)
    return pa.table(
        {
            "category_code": codes.take(one),
            "towards": codes.take(other),
            "tie": _array(ties.affinity[one, other]),
        }
    )


def trends(shop: ShopLines, half_lives_h: Iterable[float]) -> pa.Table:
    """product_id, half_life_h, count: lines sold up to the watermark, decayed to it. See `features.trends`."""
    log = shop.view.log
    lines = np.flatnonzero((log.quantity > 0) & (log.at_ms <= shop.newest_ms) & shop.view.not_returned)
    rows, age_ms = log.rows[lines], shop.newest_ms - log.at_ms[lines]
    return pa.concat_tables([_trend(shop, rows, age_ms, hours) for hours in sorted(set(half_lives_h))])


def _trend(shop: ShopLines, rows: Int64s, age_ms: Int64s, hours: float) -> pa.Table:
    counts = np.bincount(rows, decay_factor(age_ms, hours * HOUR_MS), minlength=len(shop.products)).astype(np.float64)
    return _by_product(shop, counts > FADED, half_life_h=np.full(len(counts), float(hours)), count=counts)


def _lists(starts: Int64s, values: "pa.Array[Any]") -> "pa.Array[Any]":
    offsets: Any = pa.array(starts.astype(np.int32))
    lists: pa.Array[Any] = pa.ListArray.from_arrays(offsets, values)
    return lists


def _array(values: NDArray[Any]) -> "pa.Array[Any]":
    array: pa.Array[Any] = pa.array(values)
    return array
