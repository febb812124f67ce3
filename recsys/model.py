"""The serving model: built once from verified tables, replaced as a whole; immutable except for its spare rows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.basket_weights import BasketWeights
from recsys.catalogue import NO_PRICE, Catalogue, Labels, ProductColumns
from recsys.category_affinity import Categories
from recsys.co_purchases import CoPurchases
from recsys.decayed_counts import HOUR_MS
from recsys.fold_in import FoldIn
from recsys.live_state import NEVER_MS, Bounds, LiveState
from recsys.model_format import (
    Gate,
    InvalidModel,
    Manifest,
    ModelFault,
    ModelSource,
    Tables,
    Training,
    read_manifest,
    read_tables,
)
from recsys.purchase_history import PastPurchases
from recsys.score_weights import ScoreWeights
from recsys.scorer import ComposedScorer, TrainedParts
from recsys.substitutes import ProductLikeness, centred
from recsys.topk import Float32s, Float64s, Int64s
from recsys.variety import VarietyRanker
from services.common.storage_errors import NoSuchObject
from services.common.times import parse_time

_LARGEST_FACTOR = 1e6  # far beyond any sane factor; keeps every inner product finite in float32
_LARGEST_COUNT = 1e12  # of anything that is counted or scored; keeps every sum finite


@dataclass(frozen=True, slots=True)
class InitialState:
    """The state at the model's cut-off, from which a live state follows the stream."""

    cut_off_ms: int
    past: PastPurchases
    co_purchases: CoPurchases
    order_pairs: CoPurchases  # the same of orders
    trends: Mapping[float, Float64s]  # half-life in ms → live counts [rows] at the cut-off
    sold_ms: Int64s  # [rows], NEVER_MS where never
    training: Training  # where in the stream the cut-off lies


@dataclass(frozen=True, slots=True)
class Model:
    """Everything that answers need. Arrays by product have a row for each product of the catalogue, and spare rows."""

    version: str
    created_at_ms: int
    rank: int
    users: int
    items: int  # products with factors
    catalogue: Catalogue
    scorer: ComposedScorer
    basket_scorer: ComposedScorer  # `scorer` where there are no weights for baskets
    offline_scorer: ComposedScorer  # while the stream is unavailable; `scorer` where there are no weights for that
    basket: BasketWeights | None  # of `basket_scorer`
    likeness: ProductLikeness
    variety: VarietyRanker
    initial_state: InitialState
    gate: Gate

    @property
    def weights(self) -> ScoreWeights:
        """The weights of the scorer."""
        return self.scorer.weights

    def live_state(self, bounds: Bounds | None = None) -> LiveState:
        """A new state as of the cut-off."""
        initial, half_lives_ms = self.initial_state, tuple(self.initial_state.trends)
        live = LiveState(initial.past, initial.co_purchases, half_lives_ms, bounds or Bounds(), initial.order_pairs)
        live.initialise(initial.trends, initial.cut_off_ms, initial.sold_ms)
        return live


def load_model(
    source: ModelSource,
    folder: str,
    version: str,
    stopping: Callable[[], bool] = lambda: False,
    spare: int = 0,
) -> Model:
    """Read, verify and build the model in `folder`, with spare rows for products that are new to the model.

    Raises InvalidModel; whatever `source` raises passes through.
    """
    manifest = read_manifest(_manifest_body(source, folder))
    if manifest.version != version:
        raise InvalidModel(ModelFault.MANIFEST, f"manifest.json names version {manifest.version!r}, not {version!r}")
    return build_model(manifest, read_tables(source, folder, manifest, stopping), spare)


def _manifest_body(source: ModelSource, folder: str) -> bytes:
    try:
        return source.get(f"{folder}/manifest.json")
    except NoSuchObject:
        raise InvalidModel(ModelFault.MISSING_FILE, "manifest.json is missing") from None


def build_model(manifest: Manifest, tables: Tables, spare: int = 0) -> Model:
    """Build the model that these tables describe. Raises InvalidModel."""
    item_ids, item_factors = _factors(tables["item_factors"], "item_factors", "product_id", manifest.rank)
    _expect_count("items", manifest.items, len(item_ids))
    catalogue, sold_ms = _catalogue(tables["catalogue"], item_ids, spare)
    rows = catalogue.capacity
    trained = TrainedParts(
        item_factors,
        FoldIn(item_factors, manifest.settings.alpha, manifest.settings.regularisation),
        _popularity(tables["popularity"], catalogue, rows),
        _categories(tables["category_ties"], catalogue, rows),
    )
    order_pairs = _co_purchases(tables["order_pairs"], catalogue, rows, "order_pairs", "orders")
    likeness = ProductLikeness(catalogue, centred(item_factors, rows), order_pairs, trained.popularity)
    weights, basket = manifest.composition, manifest.basket
    scorer = ComposedScorer(trained, weights)
    return Model(
        version=manifest.version,
        created_at_ms=_time(manifest.created_at, "created_at"),
        rank=manifest.rank,
        users=manifest.users,
        items=len(item_ids),
        catalogue=catalogue,
        scorer=scorer,
        basket_scorer=scorer if basket is None else ComposedScorer(trained, basket.others, basket.orders),
        offline_scorer=scorer if weights.offline_weights is None else ComposedScorer(trained, weights.offline_weights),
        basket=basket,
        likeness=likeness,
        variety=VarietyRanker(catalogue, likeness.vectors),
        initial_state=InitialState(
            cut_off_ms=_time(manifest.training.to, "training.to"),
            past=_past(tables["known_purchases"], catalogue),
            co_purchases=_co_purchases(tables["co_purchases"], catalogue, rows, "co_purchases", "buyers"),
            order_pairs=order_pairs,
            trends=_trends(tables["trends"], catalogue, rows, manifest.half_lives_h),
            sold_ms=_padded(sold_ms, rows, NEVER_MS),
            training=manifest.training,
        ),
        gate=manifest.gate or Gate(),
    )


def _time(text: str, name: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise InvalidModel(ModelFault.MANIFEST, f"manifest.json: {name} {error}") from None


def _expect_count(what: str, promised: int, found: int) -> None:
    if promised != found:
        raise InvalidModel(ModelFault.SHAPE, f"there are {found} {what}, not {promised} as in the manifest")


def _factors(table: pa.Table, name: str, key: str, rank: int) -> tuple[list[str], Float32s]:
    """Ids in ascending order, and their factors [ids, rank]."""
    lengths = _numpy(pc.list_value_length(table["factors"]))
    if (lengths != rank).any():
        raise InvalidModel(ModelFault.SHAPE, f"{name}: not every vector has {rank} factors")
    factors = _numpy(pc.list_flatten(table["factors"])).reshape(-1, rank)
    if not (np.abs(factors) <= _LARGEST_FACTOR).all():  # false for NaN too
        raise InvalidModel(ModelFault.VALUES, f"{name}: a factor is not a number, or beyond ±{_LARGEST_FACTOR:,.0f}")
    ids = _distinct(table[key], name)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return [ids[row] for row in order], np.ascontiguousarray(factors[order], dtype=np.float32)


def _catalogue(table: pa.Table, item_ids: list[str], spare: int) -> tuple[Catalogue, Int64s]:
    """The products, those with factors first, and when each was sold last."""
    place = {id_: row for row, id_ in enumerate(_distinct(table["product_id"], "catalogue"))}
    scored = set(item_ids)
    if missing := sorted(scored - place.keys())[:3]:
        raise InvalidModel(
            ModelFault.VALUES, f"item_factors: products that the catalogue lacks, such as {', '.join(missing)}"
        )
    product_ids = item_ids + sorted(place.keys() - scored)
    ordered = table.take(pa.array([place[id_] for id_ in product_ids], pa.int64()))
    sold_ms = _filled(ordered["last_sold_ms"], NEVER_MS)
    catalogue = Catalogue(
        product_ids,
        scored=len(item_ids),
        columns=ProductColumns(
            names=_labels(ordered["product_name"]),
            categories=_labels(ordered["category_code"]),
            brands=_labels(ordered["brand"]),
            prices=_filled(ordered["price_cents"], NO_PRICE),
            facts_ms=sold_ms,
        ),
        spare=spare,
    )
    return catalogue, sold_ms


def _filled(column: Any, instead_of_null: int) -> Int64s:
    return _numpy(column.fill_null(instead_of_null))


def _labels(column: Any) -> Labels:
    encoded = column.fill_null("").combine_chunks().dictionary_encode()
    return Labels(_numpy(encoded.indices), encoded.dictionary.to_pylist())


def _popularity(table: pa.Table, catalogue: Catalogue, rows: int) -> Float64s:
    _distinct(table["product_id"], "popularity")
    scores = np.zeros(rows)
    scores[_rows(table["product_id"], catalogue, "popularity")] = _amounts(table["score"], "popularity", "score")
    return scores


def _categories(table: pa.Table, catalogue: Catalogue, rows: int) -> Categories:
    """Only categories with an affinity get a number: at most MAX_CATEGORIES, since the matrix is square."""
    one: list[str] = table["category_code"].to_pylist()  # type: ignore[assignment]  # nulls were refused
    other: list[str] = table["towards"].to_pylist()  # type: ignore[assignment]
    if len(set(zip(one, other, strict=True))) != len(one):
        raise InvalidModel(ModelFault.VALUES, "category_ties: a pair of categories occurs twice")
    number = {code: place for place, code in enumerate(sorted({*one, *other}))}
    affinity = np.zeros((len(number), len(number)))
    affinity[[number[code] for code in one], [number[code] for code in other]] = _amounts(
        table["tie"], "category_ties", "tie"
    )
    by_label = np.array([number.get(code, -1) for code in catalogue.categories.values], np.int32)
    of = by_label[catalogue.categories.codes[: len(catalogue)]] if len(catalogue) else np.empty(0, np.int32)
    return Categories(of, affinity, number).padded(rows)


def _past(table: pa.Table, catalogue: Catalogue) -> PastPurchases:
    """Net purchases of each customer, as compressed rows with ascending products."""
    name, users = "known_purchases", _distinct(table["user_id"], "known_purchases")
    owners, products = _lists(table, name, ("pieces", "bought_ms"), "product_ids")
    rows = _rows(products, catalogue, name)
    pieces = _amounts(pc.list_flatten(table["pieces"]), name, "pieces")
    if not (pieces > 0).all():
        raise InvalidModel(ModelFault.VALUES, f"{name}: pieces must be above 0")
    order = np.lexsort((rows, owners))
    _expect_no_pair_twice(owners[order], rows[order], name)
    return PastPurchases(
        users={user: place for place, user in enumerate(users)},
        starts=_starts(owners, len(users)),
        rows=rows[order].astype(np.int32),
        quantity=pieces[order],
        event_time_ms=_numpy(pc.list_flatten(table["bought_ms"]))[order],
    )


def _co_purchases(table: pa.Table, catalogue: Catalogue, rows: int, name: str, total: str) -> CoPurchases:
    """Pairs of products; `total` names the column with the customers, or orders, of each product."""
    _distinct(table["product_id"], name)
    products = _rows(table["product_id"], catalogue, name)
    owners, neighbour_ids = _lists(table, name, ("counts",), "neighbour_ids")
    owners, neighbours = products[owners], _rows(neighbour_ids, catalogue, name)
    counts = _amounts(pc.list_flatten(table["counts"]), name, "counts")
    if not (counts > 0).all():
        raise InvalidModel(ModelFault.VALUES, f"{name}: counts must be above 0")
    order = np.lexsort((neighbours, owners))
    _expect_no_pair_twice(owners[order], neighbours[order], name)
    buyers = np.zeros(rows, np.int64)
    buyers[products] = _amounts(table[total], name, total)
    return CoPurchases(
        starts=_starts(owners, rows),
        rows=neighbours[order].astype(np.int32),
        counts=counts[order].astype(np.int32),
        buyers=buyers,
    )


def _trends(
    table: pa.Table, catalogue: Catalogue, rows: int, half_lives_h: Iterable[float]
) -> Mapping[float, Float64s]:
    """The counts of every half-life that the weights need; the table may hold others."""
    half_lives, products = _numpy(table["half_life_h"]), _rows(table["product_id"], catalogue, "trends")
    counts = _amounts(table["count"], "trends", "count")
    order = np.lexsort((products, half_lives))
    _expect_no_pair_twice(half_lives[order], products[order], "trends")
    trends = {}
    for half_life_ms in (hours * HOUR_MS for hours in half_lives_h):
        of_it = half_lives * HOUR_MS == half_life_ms
        trends[half_life_ms] = np.zeros(rows)
        trends[half_life_ms][products[of_it]] = counts[of_it]
    return trends


def _lists(table: pa.Table, name: str, columns: Iterable[str], ids: str) -> tuple[Int64s, Any]:
    """Which row of the table each element of its lists belongs to, and the elements of the list `ids`.

    Raises InvalidModel where the lists of `columns` are not as long.
    """
    lengths = _numpy(pc.list_value_length(table[ids]))
    for column in columns:
        if (_numpy(pc.list_value_length(table[column])) != lengths).any():
            raise InvalidModel(ModelFault.SHAPE, f"{name}: {column} and {ids} differ in length")
    return np.repeat(np.arange(len(lengths)), lengths), pc.list_flatten(table[ids])


def _starts(owners: Int64s, number: int) -> Int64s:
    return np.concatenate(([0], np.cumsum(np.bincount(owners, minlength=number))))


def _expect_no_pair_twice(first: NDArray[Any], second: NDArray[Any], name: str) -> None:
    """Both sorted, by `first`, then by `second`."""
    if ((first[1:] == first[:-1]) & (second[1:] == second[:-1])).any():
        raise InvalidModel(ModelFault.VALUES, f"{name}: a product occurs twice")


def _rows(product_ids: Any, catalogue: Catalogue, name: str) -> Int64s:
    """Catalogue rows of product ids. Raises InvalidModel for one that the catalogue lacks."""
    found = _numpy(pc.index_in(product_ids, value_set=pa.array(catalogue.product_ids, pa.string())).fill_null(-1))
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        raise InvalidModel(ModelFault.VALUES, f"{name}: product {product_ids[int(unknown[0])]} is not in the catalogue")
    return found.astype(np.int64)


def _amounts(column: Any, name: str, what: str) -> Float64s:
    """Numbers of 0 or more. Raises InvalidModel."""
    amounts: Float64s = _numpy(column).astype(np.float64)
    if not ((amounts >= 0) & (amounts <= _LARGEST_COUNT)).all():  # false for NaN too
        raise InvalidModel(ModelFault.VALUES, f"{name}: a {what} is not a number of 0 or more")
    return amounts


def _padded(values: NDArray[Any], rows: int, spare: int) -> NDArray[Any]:
    return np.concatenate((values, np.full(rows - len(values), spare, values.dtype)))


def _distinct(column: Any, name: str) -> list[str]:
    ids: list[str] = column.to_pylist()
    if len(set(ids)) != len(ids):
        raise InvalidModel(ModelFault.VALUES, f"{name}: an id occurs twice")
    return ids


def _numpy(column: Any) -> NDArray[Any]:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array
