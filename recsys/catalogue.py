"""The products of a model as compact columns, and the filters over them. Pure.

The stream updates it: newer facts of known products, and new products in spare rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.topk import Allowed
from services.common.categories import UNKNOWN
from services.common.event_clock import NEVER_MS

NO_PRICE = -1
_NEW_TEXTS = 100_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What may be recommended. Prices in cents, inclusive; empty texts and None mean any.

    `exclude_purchased` None: as the model's weights say. `alike`: products like one another are wanted, by score alone.
    """

    category: str = ""
    brand: str = ""
    min_price: int | None = None
    max_price: int | None = None
    exclude_purchased: bool | None = None
    exclude: tuple[str, ...] = ()
    alike: bool = False


class Labels:
    """A text column whose values repeat: `values[codes[row]]`; "" where the text is unknown."""

    def __init__(self, codes: NDArray[np.int32], values: Sequence[str]) -> None:
        self.codes = codes
        self.values = list(values)
        self._code_of: dict[str, int] | None = None  # built when a text is set for the first time

    def __getitem__(self, row: int) -> str:
        return self.values[int(self.codes[row])]

    def pad(self, rows: int) -> None:
        """Add `rows` rows without a text. The codes are a copy of their own afterwards, which `set` may change."""
        self.codes = np.concatenate((self.codes, np.full(rows, self._code("") if rows else 0, np.int32)))

    def set(self, row: int, text: str, limit: int) -> bool:
        """Set the text of a row; False where it would exceed `limit` distinct texts."""
        code = self._code(text, limit)
        if code < 0:
            return False
        self.codes[row] = code
        return True

    @property
    def unknown(self) -> int:
        """The code of rows without a text; -1 where there is none."""
        return self._codes().get("", -1)

    def _codes(self) -> dict[str, int]:
        if self._code_of is None:
            self._code_of = {value: code for code, value in enumerate(self.values)}
        return self._code_of

    def _code(self, text: str, limit: int = 2**31 - 1) -> int:
        codes = self._codes()
        code = codes.get(text)
        if code is None:
            if len(self.values) >= limit:
                return -1
            code = codes[text] = len(self.values)
            self.values.append(text)
        return code

    def equal(self, text: str) -> Allowed:
        """Rows whose text is `text`; `unknown` includes rows without a text."""
        spellings = _spellings(text)
        return self._rows_of([code for code, value in enumerate(self.values) if value in spellings])

    def under(self, prefix: str) -> Allowed:
        """Rows whose dotted code is `prefix` or lies below it: `electronics` includes `electronics.audio`."""
        below = f"{prefix}."  # as categories.is_within, without a call for each of the shop's categories
        codes = enumerate(value or UNKNOWN for value in self.values)
        return self._rows_of([code for code, value in codes if value == prefix or value.startswith(below)])

    def _rows_of(self, codes: list[int]) -> Allowed:
        matches = np.zeros(len(self.values), dtype=np.bool_)
        matches[codes] = True
        return matches[self.codes]


def _spellings(text: str) -> tuple[str, ...]:
    return (text, "") if text == UNKNOWN else (text,)


class Facts(NamedTuple):
    """The facts of a product in a purchase; price in cents, texts None where unknown."""

    name: str | None
    category: str | None
    brand: str | None
    price: int


class Listing(NamedTuple):
    """What the shop's own catalogue says of a product; None: what purchases say holds. `available`: may be shown."""

    name: str | None = None
    category: str | None = None
    brand: str | None = None
    price: int | None = None
    available: bool = True

    def over(self, sold: Facts) -> Facts:
        """These facts, and those of purchases where there are none."""
        return Facts(
            self.name or sold.name,
            self.category or sold.category,
            self.brand or sold.brand,
            sold.price if self.price is None else self.price,
        )


class _Listed(NamedTuple):
    """A row that the shop's catalogue describes, and what purchases say of it."""

    listing: Listing
    sold: Facts


@dataclass(frozen=True, slots=True)
class ProductColumns:
    """The facts of all products, one entry per product.

    `prices` are cents, NO_PRICE where there is none. `facts_ms` is their event time, epoch ms; None: unknown.
    """

    names: Labels
    categories: Labels
    brands: Labels
    prices: NDArray[np.int64]
    facts_ms: NDArray[np.int64] | None = None


class Catalogue:
    """Products by row. The first `scored` rows have factors, in ascending order of id; then the others, likewise; then
    `spare` rows for new products of the stream and of the shop's catalogue, in the order in which they came.

    Masks have a place for each row, used or spare: `capacity`. Each text column takes at most as many new texts as
    there are rows and `_NEW_TEXTS`: a product beyond that keeps its text.

    `listings`: what the shop's catalogue says, by product id, also of products that get a row later. It wins over what
    purchases say. A product that is not `available` passes no filter.
    """

    def __init__(self, product_ids: Sequence[str], scored: int, columns: ProductColumns, spare: int = 0) -> None:
        self.product_ids = list(product_ids)
        self.scored = scored
        self.names, self.categories, self.brands = columns.names, columns.categories, columns.brands
        self.prices = np.pad(columns.prices, (0, spare), constant_values=NO_PRICE)
        facts_ms = columns.facts_ms
        known_ms = np.full(len(product_ids), NEVER_MS, np.int64) if facts_ms is None else facts_ms
        self._facts_ms = np.pad(known_ms, (0, spare), constant_values=NEVER_MS)
        self._facts_cells = self._facts_ms.data  # the same numbers: one of them is reached in half the time
        self._known = len(product_ids)
        self._rows = {id_: row for row, id_ in enumerate(self.product_ids)}
        self._texts = (self.names, self.categories, self.brands)
        for labels in self._texts:
            labels.pad(spare)
        self._limits = tuple(len(labels.values) + self.capacity + _NEW_TEXTS for labels in self._texts)
        self.listings: Mapping[str, Listing] = {}
        self._listed: dict[int, _Listed] = {}
        self._available = np.ones(self.capacity, np.bool_)

    def __len__(self) -> int:
        """Number of known products."""
        return len(self.product_ids)

    @property
    def capacity(self) -> int:
        """Rows, used or spare."""
        return len(self.prices)

    @property
    def fresh(self) -> int:
        """Number of products that came with the stream."""
        return len(self.product_ids) - self._known

    def add(self, product_id: str) -> int | None:
        """Give a new product a spare row; None where none is left."""
        row = len(self.product_ids)
        if row == self.capacity:
            return None
        self.product_ids.append(product_id)
        self._rows[product_id] = row
        if (listing := self.listings.get(product_id)) is not None:
            self.list(row, listing)
        return row

    def list(self, row: int, listing: Listing | None) -> None:
        """Describe a row by the shop's catalogue; None: by purchases alone again."""
        listed = self._listed.pop(row, None)
        sold = self._facts(row) if listed is None else listed.sold
        if listing is not None:
            self._listed[row] = _Listed(listing, sold)
        self._available[row] = listing is None or listing.available
        self._set(row, sold if listing is None else listing.over(sold))

    def update(self, row: int, facts: Facts, event_time_ms: int) -> None:
        """Update the facts of a product by a purchase: newer ones win, of equally new ones the last."""
        if event_time_ms < self._facts_cells[row]:
            return
        self._facts_cells[row] = event_time_ms
        listed = self._listed.get(row)
        if listed is not None:
            self._listed[row] = listed._replace(sold=facts)
            facts = listed.listing.over(facts)
        self._set(row, facts)

    def _facts(self, row: int) -> Facts:
        return Facts(
            self.names[row] or None, self.categories[row] or None, self.brands[row] or None, int(self.prices[row])
        )

    def _set(self, row: int, facts: Facts) -> None:
        self.prices[row] = facts.price
        for labels, text, limit in zip(self._texts, facts[:3], self._limits, strict=True):
            labels.set(row, text or "", limit)

    def row(self, product_id: str) -> int | None:
        """The product's row; None for an unknown product."""
        return self._rows.get(product_id)

    def price(self, row: int) -> int | None:
        """Unit price in cents."""
        cents = int(self.prices[row])
        return None if cents == NO_PRICE else cents

    def allowed(self, filters: Filters) -> Allowed:
        """A new mask [capacity] of available products that pass the filters; the caller excludes purchases."""
        mask = self._available.copy()
        mask[len(self) :] = False
        if filters.category:
            mask &= self.categories.under(filters.category)
        if filters.brand:
            mask &= self.brands.equal(filters.brand)
        if filters.min_price is not None:
            mask &= self.prices >= filters.min_price
        if filters.max_price is not None:
            mask &= (self.prices <= filters.max_price) & (self.prices != NO_PRICE)
        mask[[row for id_ in filters.exclude if (row := self.row(id_)) is not None]] = False
        return mask
