"""The products of a model as compact columns, and the filters over them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.common.tables import UNKNOWN
from services.recommender.scoring import Allowed

NO_PRICE = -1


@dataclass(frozen=True, slots=True)
class Filters:
    """What may be recommended. Prices in cents, inclusive; empty texts and None mean any."""

    category: str = ""
    brand: str = ""
    min_price: int | None = None
    max_price: int | None = None
    exclude_purchased: bool = True
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """A text column whose values repeat: `values[codes[row]]`; "" where the text is unknown."""

    codes: NDArray[np.int32]
    values: Sequence[str]

    def __getitem__(self, row: int) -> str:
        return self.values[int(self.codes[row])]

    def equal(self, text: str) -> Allowed:
        """Rows whose text is `text`; `unknown` takes in those without one."""
        spellings = _spellings(text)
        return self._rows_of([code for code, value in enumerate(self.values) if value in spellings])

    def under(self, prefix: str) -> Allowed:
        """Rows whose dotted code is `prefix` or lies below it: `electronics` takes in `electronics.audio`."""
        below = f"{prefix}."
        spellings = _spellings(prefix)
        return self._rows_of(
            [code for code, value in enumerate(self.values) if value in spellings or value.startswith(below)]
        )

    def _rows_of(self, codes: list[int]) -> Allowed:
        matches = np.zeros(len(self.values), dtype=np.bool_)
        matches[codes] = True
        return matches[self.codes]


def _spellings(text: str) -> tuple[str, ...]:
    return (text, "") if text == UNKNOWN else (text,)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Products by row. The first `scored` rows have factors, in ascending order of id; then the others, likewise."""

    product_ids: Sequence[str]
    scored: int
    names: Labels
    categories: Labels
    brands: Labels
    prices: NDArray[np.int64]  # cents; NO_PRICE where there is none
    _rows: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {id_: row for row, id_ in enumerate(self.product_ids)})

    def __len__(self) -> int:
        return len(self.product_ids)

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
        """A fresh mask [products] of what passes the filters (purchases are the caller's to exclude)."""
        mask = np.ones(len(self), dtype=np.bool_)
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
