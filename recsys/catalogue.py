"""The products of a model as compact columns, and the filters over them. Pure.

What the stream says of products goes in here too: newer facts of those that the model knows, and products that it does
not, in rows kept free for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.event_clock import NEVER_MS
from recsys.topk import Allowed
from services.common.categories import UNKNOWN, is_within

NO_PRICE = -1
_NEW_TEXTS = 100_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What may be recommended. Prices in cents, inclusive; empty texts and None mean any.

    `exclude_purchased` None: as the shop has chosen.
    """

    category: str = ""
    brand: str = ""
    min_price: int | None = None
    max_price: int | None = None
    exclude_purchased: bool | None = None
    exclude: tuple[str, ...] = ()


class Labels:
    """A text column whose values repeat: `values[codes[row]]`; "" where the text is unknown."""

    def __init__(self, codes: NDArray[np.int32], values: Sequence[str]) -> None:
        self.codes = codes
        self.values = list(values)
        self._code_of: dict[str, int] | None = None  # made when a text is set for the first time

    def __getitem__(self, row: int) -> str:
        return self.values[int(self.codes[row])]

    def pad(self, rows: int) -> None:
        """Make room for `rows` more, without a text."""
        if rows:
            self.codes = np.concatenate((self.codes, np.full(rows, self._code(""), np.int32)))

    def set(self, row: int, text: str, limit: int) -> bool:
        """Give a row its text; False where that would be a new one beyond `limit` distinct texts."""
        code = self._code(text, limit)
        if code < 0:
            return False
        self.codes[row] = code
        return True

    def _code(self, text: str, limit: int = 2**31 - 1) -> int:
        if self._code_of is None:
            self._code_of = {value: code for code, value in enumerate(self.values)}
        code = self._code_of.get(text)
        if code is None:
            if len(self.values) >= limit:
                return -1
            code = self._code_of[text] = len(self.values)
            self.values.append(text)
        return code

    def equal(self, text: str) -> Allowed:
        """Rows whose text is `text`; `unknown` takes in those without one."""
        spellings = _spellings(text)
        return self._rows_of([code for code, value in enumerate(self.values) if value in spellings])

    def under(self, prefix: str) -> Allowed:
        """Rows whose dotted code is `prefix` or lies below it: `electronics` takes in `electronics.audio`."""
        return self._rows_of([code for code, value in enumerate(self.values) if is_within(value or UNKNOWN, prefix)])

    def _rows_of(self, codes: list[int]) -> Allowed:
        matches = np.zeros(len(self.values), dtype=np.bool_)
        matches[codes] = True
        return matches[self.codes]


def _spellings(text: str) -> tuple[str, ...]:
    return (text, "") if text == UNKNOWN else (text,)


class Facts(NamedTuple):
    """What a purchase says of its product; price in cents, texts None where unknown."""

    name: str | None
    category: str | None
    brand: str | None
    price: int


class Catalogue:
    """Products by row. The first `scored` rows have factors, in ascending order of id; then the others, likewise; then
    `spare` rows for products that the stream brings, in the order in which they come.

    Masks have a place for each row, taken or not: `capacity`. Each text column takes at most `_NEW_TEXTS` from the
    stream: a product beyond that keeps the texts it had.
    """

    def __init__(
        self,
        product_ids: Sequence[str],
        scored: int,
        *,
        names: Labels,
        categories: Labels,
        brands: Labels,
        prices: NDArray[np.int64],  # cents; NO_PRICE where there is none
        spare: int = 0,
        told_ms: NDArray[np.int64] | None = None,  # when the facts of each product were told
    ) -> None:
        self.product_ids = list(product_ids)
        self.scored = scored
        self.names, self.categories, self.brands = names, categories, brands
        self.prices = np.pad(prices, (0, spare), constant_values=NO_PRICE)
        told = np.full(len(product_ids), NEVER_MS, np.int64) if told_ms is None else told_ms
        self._told_ms = np.pad(told, (0, spare), constant_values=NEVER_MS)
        self._told = self._told_ms.data
        self._known = len(product_ids)
        self._rows = {id_: row for row, id_ in enumerate(self.product_ids)}
        self._texts = (names, categories, brands)
        for labels in self._texts:
            labels.pad(spare)
        self._limits = tuple(len(labels.values) + _NEW_TEXTS for labels in self._texts)

    def __len__(self) -> int:
        """Products that are known now."""
        return len(self.product_ids)

    @property
    def capacity(self) -> int:
        """Rows, taken or spare."""
        return len(self.prices)

    @property
    def fresh(self) -> int:
        """Products that the stream has brought."""
        return len(self.product_ids) - self._known

    def take(self, product_id: str) -> int | None:
        """A spare row for a product that has none; None where all are taken."""
        row = len(self.product_ids)
        if row == self.capacity:
            return None
        self.product_ids.append(product_id)
        self._rows[product_id] = row
        return row

    def tell(self, row: int, facts: Facts, at_ms: int) -> None:
        """What an event of this time says of a product: newer facts win, of equally new ones the last told."""
        if at_ms < self._told[row]:
            return
        self._told[row] = at_ms
        self.prices[row] = facts.price
        for labels, text, limit in zip(self._texts, facts[:3], self._limits, strict=True):
            labels.set(row, text or "", limit)

    def row(self, product_id: str) -> int | None:
        """The product's row; None where the model does not know it."""
        return self._rows.get(product_id)

    def has_factors(self, row: int) -> bool:
        """Whether the row's product was trained on."""
        return row < self.scored

    def price(self, row: int) -> int | None:
        """Unit price in cents."""
        cents = int(self.prices[row])
        return None if cents == NO_PRICE else cents

    def allowed(self, filters: Filters) -> Allowed:
        """A fresh mask [capacity] of what passes the filters (purchases are the caller's to exclude)."""
        mask = np.arange(self.capacity) < len(self)
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
