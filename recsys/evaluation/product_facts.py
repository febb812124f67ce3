"""The catalogue at a moment of the evaluation: what the newest line before it says of each product."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from recsys.catalogue import NO_PRICE, Catalogue, Labels, ProductColumns
from recsys.evaluation.training_view import TrainingView

COLUMNS = ("event_time", "product_id", "product_name", "category_code", "brand", "price")


def read_facts(folder: Path) -> pa.Table:
    """The facts in every curated purchase of a folder."""
    return ds.dataset(folder, partitioning="hive").to_table(columns=list(COLUMNS))


def catalogue_at(facts: pa.Table, view: TrainingView) -> Catalogue:
    """The catalogue of a view: its products in their order, with the facts of their newest line before its moment.

    Of a product that is first sold later nothing is known.
    """
    before: Any = pc.less(facts["event_time"], pa.scalar(view.moment_ms))
    known = facts.filter(before).sort_by("event_time")
    products = pa.array(view.log.products, pa.string())
    rows = _numpy(pc.index_in(known["product_id"], value_set=products))
    newest = np.full(len(products), known.num_rows, np.int64)
    newest[rows] = np.arange(known.num_rows)  # of equal rows the last assignment stays
    taken: Any = known.take(pa.array(newest, pa.int64(), mask=newest == known.num_rows))
    return Catalogue(
        view.log.products,
        view.scored,
        ProductColumns(
            names=_labels(taken["product_name"]),
            categories=_labels(taken["category_code"]),
            brands=_labels(taken["brand"]),
            prices=_numpy(taken["price"].fill_null(NO_PRICE)).astype(np.int64),
        ),
    )


def _labels(column: Any) -> Labels:
    encoded = column.fill_null("").combine_chunks().dictionary_encode()
    return Labels(_numpy(encoded.indices), encoded.dictionary.to_pylist())


def _numpy(column: Any) -> NDArray[Any]:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array
