"""Budgets of names: beyond so many brands, categories or products, new ones are counted under `other`.

Otherwise anybody who may send purchases could fill Redis with names, and slow down every ranking. A name that has been
counted keeps its own figures for ever. Where several aggregators reach a budget at the same moment, a few names more
are admitted.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from services.aggregator.groups import shard_of
from services.aggregator.lines import AcceptedLine
from services.aggregator.names import Renamed
from services.aggregator.store import TableStore
from services.common.categories import OTHER, UNKNOWN
from services.common.metrics import AGGREGATOR_OTHER_LINES

logger = logging.getLogger(__name__)

Table = Literal["brands", "categories", "products"]
_CACHED = 200_000


@dataclass(frozen=True, slots=True)
class NameLimits:
    """How many names each table may have, in one shard."""

    brands: int = 20_000
    categories: int = 5_000
    products: int = 1_000_000


DEFAULT_LIMITS = NameLimits()


@dataclass(slots=True)
class _Admitted:
    """Names of one table of one shard that are known to be there, and how many there are at least."""

    names: set[str] = field(default_factory=set)
    size: int = 0


class NameBudgets:
    """Decides which names of a batch are counted under `other`."""

    def __init__(self, store: TableStore, limits: NameLimits) -> None:
        self._store = store
        self._limits: Mapping[Table, int] = {
            "brands": limits.brands,
            "categories": limits.categories,
            "products": limits.products,
        }
        self._admitted: dict[tuple[Table, int], _Admitted] = {}

    def forget(self) -> None:
        """The store writes another generation."""
        self._admitted.clear()

    async def apply(self, lines: Sequence[AcceptedLine], home: int) -> Renamed:
        """The names of these lines that are over budget; `home` is the shard of brands and categories.

        Raises RedisError.
        """
        brands = {line.purchase.brand or UNKNOWN for line in lines}
        categories = {line.purchase.category_code or UNKNOWN for line in lines}
        products = {line.purchase.product_id for line in lines}
        renamed = Renamed(
            await self._over("brands", home, brands),
            await self._over("categories", home, categories),
            await self._products_over(products),
        )
        if renamed:
            self._count(lines, renamed)
        return renamed

    async def _products_over(self, products: set[str]) -> dict[str, str]:
        shards = self._store.shards
        over: dict[str, str] = {}
        for shard in range(shards):
            own = {product for product in products if shard_of(product, shards) == shard}
            over |= await self._over("products", shard, own)
        return over

    async def _over(self, table: Table, shard: int, names: set[str]) -> dict[str, str]:
        admitted = self._admitted.setdefault((table, shard), _Admitted())
        new = sorted(names - admitted.names)
        if not new:
            return {}
        present, size = await self._store.names(shard, table, new)
        if len(admitted.names) > _CACHED:
            admitted.names.clear()
        admitted.names |= present
        admitted.size = max(admitted.size, size)
        absent = [name for name in new if name not in present and name != OTHER]
        room = max(0, self._limits[table] - admitted.size)
        admitted.names.update(absent[:room])
        admitted.size += len(absent[:room])
        return dict.fromkeys(absent[room:], OTHER)

    def _count(self, lines: Iterable[AcceptedLine], renamed: Renamed) -> None:
        for line in lines:
            purchase = line.purchase
            for table, names, name in (
                ("brands", renamed.brands, purchase.brand or UNKNOWN),
                ("categories", renamed.categories, purchase.category_code or UNKNOWN),
                ("products", renamed.products, purchase.product_id),
            ):
                if name in names:
                    AGGREGATOR_OTHER_LINES.labels(table).inc()
