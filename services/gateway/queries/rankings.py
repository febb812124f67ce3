"""Top lists and the search for customers, from the live tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.common.tables import Figures, ProductFacts, sum_figures
from services.gateway.queries.entities import Product, read_products, read_totals
from services.gateway.queries.figures import by_revenue, figures_sum, merge_ranked, share
from services.gateway.queries.shards import ShardReader

Board = Literal["spenders", "products", "categories", "brands"]

# Bounds of one search for customers: candidate ids by prefix, and pages of the spenders' ranking.
_PREFIX_CANDIDATES = 2_000
_RANKING_PAGE = 2_000
_RANKING_PAGES = 10


@dataclass(frozen=True, slots=True)
class Ranked:
    """One row of a top list. `share` of all revenue, None where that is zero; `facts` of a product."""

    id: str
    figures: Figures
    share: float | None
    facts: ProductFacts | None = None


async def read_top(shards: ShardReader, board: Board, n: int) -> list[Ranked]:
    """The first n by revenue descending, then id ascending."""
    revenue = (await read_totals(shards)).revenue
    match board:
        case "products":
            return await top_products(shards, n, revenue)
        case "spenders":
            return await top_spenders(shards, n, revenue)
        case _:
            return await _top_of_hash(shards, board, n, revenue)


async def top_products(shards: ShardReader, n: int, revenue: int) -> list[Ranked]:
    """The n best-selling products with their facts."""
    products = await read_ranked_products(shards, n)
    return [Ranked(p.product_id, p.total, share(p.total.revenue, revenue), p.facts) for p in products]


async def read_ranked_products(shards: ShardReader, n: int) -> list[Product]:
    """The n best-selling products with totals and facts."""
    return await read_products(shards, await _first(shards, "products", n))


async def top_spenders(shards: ShardReader, n: int, revenue: int) -> list[Ranked]:
    """The n customers who spent the most."""
    user_ids = await _first(shards, "spenders", n)
    totals = await _read_spend(shards, user_ids)
    return [
        Ranked(user_id, total, share(total.revenue, revenue)) for user_id, total in zip(user_ids, totals, strict=True)
    ]


async def _read_spend(shards: ShardReader, user_ids: Sequence[str]) -> list[Figures]:
    def commands(pipe: Any, keys: Any) -> None:
        for user_id in user_ids:
            pipe.hget(keys(f"user:{user_id}"), "total")

    return [figures_sum(packed) for packed in await shards.query(commands)] if user_ids else []


async def _first(shards: ShardReader, ranking: str, n: int) -> list[str]:
    (ranked,) = await shards.query(lambda pipe, keys: pipe.zrange(keys(ranking), 0, n - 1, withscores=True))
    return merge_ranked(ranked, n)


async def _top_of_hash(shards: ShardReader, table: str, n: int, revenue: int) -> list[Ranked]:
    (hashes,) = await shards.query(lambda pipe, keys: pipe.hgetall(keys(table)))
    return [
        Ranked(entry, figures, share(figures.revenue, revenue))
        for entry, figures in by_revenue(sum_figures(hashes))[:n]
    ]


async def find_customers(shards: ShardReader, prefix: str, limit: int) -> list[str]:
    """Known user ids that begin with the prefix, highest spend first, in bounded work.

    A rare prefix is searched in the sorted ids, a common one in the ranking, where matches come early. Where the
    ranking's bounds are reached first, the rest of the result is taken from the first ids in order.
    """
    if not prefix:
        return await _first(shards, "spenders", limit)
    candidates = await _with_prefix(shards, prefix)
    if len(candidates) <= _PREFIX_CANDIDATES:
        return await _by_spend(shards, candidates, limit)
    found = await _scan_ranking(shards, prefix, limit)
    rest = [user_id for user_id in candidates if user_id not in set(found)]
    return found + await _by_spend(shards, rest, limit - len(found))


async def _with_prefix(shards: ShardReader, prefix: str) -> list[str]:
    low = b"[" + prefix.encode()
    (found,) = await shards.query(
        # UTF-8 text never contains the byte FF, so it is above every id with the prefix.
        lambda pipe, keys: pipe.zrangebylex(keys("users"), low, low + b"\xff", 0, _PREFIX_CANDIDATES + 1)
    )
    return [user_id for shard in found for user_id in shard]


async def _by_spend(shards: ShardReader, user_ids: Sequence[str], limit: int) -> list[str]:
    if not user_ids or limit <= 0:
        return []
    (scores,) = await shards.query(lambda pipe, keys: pipe.zmscore(keys("spenders"), user_ids))
    spend = [sum(score or 0.0 for score in of_user) for of_user in zip(*scores, strict=True)]
    ranked = sorted(zip(spend, user_ids, strict=True), key=lambda pair: (pair[0], pair[1].encode()))
    return [user_id for _spend, user_id in ranked[:limit]]


async def _scan_ranking(shards: ShardReader, prefix: str, limit: int) -> list[str]:
    """Matches among the biggest spenders of each shard, page by page until each shard has `limit` matches."""
    found: list[list[tuple[str, float]]] = [[] for _shard in shards.keys]
    for page in range(_RANKING_PAGES):
        start = page * _RANKING_PAGE
        (pages,) = await shards.query(
            lambda pipe, keys, start=start: pipe.zrange(  # type: ignore[misc]
                keys("spenders"), start, start + _RANKING_PAGE - 1, withscores=True
            )
        )
        for matches, shard in zip(found, pages, strict=True):
            matches += [(user_id, score) for user_id, score in shard if user_id.startswith(prefix)]
        if all(len(matches) >= limit for matches in found) or not any(pages):
            break
    return merge_ranked(found, limit)
