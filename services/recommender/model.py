"""A model as it is served: immutable, built once from verified tables, replaced whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.common.events import parse_time
from services.common.objectstore import NoSuchObject
from services.recommender.catalogue import NO_PRICE, Catalogue, Labels
from services.recommender.folder import Fault, Manifest, ModelSource, Refused, Tables, read_manifest, read_tables
from services.recommender.foldin import FoldIn
from services.recommender.scoring import Float32s, InnerProductIndex, Ranked, unit_vectors

_LARGEST_FACTOR = 1e6  # far beyond any sane factor; keeps every inner product finite in float32


@dataclass(frozen=True, slots=True)
class KnownPurchases:
    """What each user bought, as compressed rows: user u owns `products[starts[u]:starts[u + 1]]`."""

    starts: NDArray[np.int64]  # [users + 1]
    products: NDArray[np.int32]  # catalogue rows, ascending for each user
    pieces: NDArray[np.float64]

    def of(self, user: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Catalogue rows and net pieces."""
        span = slice(self.starts[user], self.starts[user + 1])
        return self.products[span], self.pieces[span]


@dataclass(frozen=True, slots=True)
class Model:
    """Everything that answers are made of. Users with factors come first among `users`."""

    version: str
    created_at_ms: int
    rank: int
    catalogue: Catalogue
    users: dict[str, int]
    user_factors: Float32s  # [users with factors, rank]
    items: InnerProductIndex  # the first catalogue.scored rows
    similar: InnerProductIndex  # the same, each of length 1
    fold_in: FoldIn
    popular: Ranked  # catalogue rows
    purchases: KnownPurchases

    def has_factors(self, user: int) -> bool:
        """Whether a user of `users` was trained on (else only purchases are known)."""
        return user < len(self.user_factors)


def load_model(source: ModelSource, folder: str, version: str, stopping: Callable[[], bool] = lambda: False) -> Model:
    """Read, verify and build the model in `folder`. Raises Refused; whatever `source` raises passes through."""
    manifest = read_manifest(_manifest_body(source, folder))
    if manifest.version != version:
        raise Refused(Fault.MANIFEST, f"manifest.json names version {manifest.version!r}, not {version!r}")
    return build_model(manifest, read_tables(source, folder, manifest, stopping))


def _manifest_body(source: ModelSource, folder: str) -> bytes:
    try:
        return source.get(f"{folder}/manifest.json")
    except NoSuchObject:
        raise Refused(Fault.MISSING_FILE, "manifest.json is missing") from None


def build_model(manifest: Manifest, tables: Tables) -> Model:
    """The model that these tables describe. Raises Refused."""
    item_ids, item_factors = _factors(tables["item_factors"], "item_factors", "product_id", manifest.rank)
    user_ids, user_factors = _factors(tables["user_factors"], "user_factors", "user_id", manifest.rank)
    _expect_count("items", manifest.items, len(item_ids))
    _expect_count("users", manifest.users, len(user_ids))
    catalogue = _catalogue(tables["catalogue"], item_ids)
    users = {user_id: row for row, user_id in enumerate(user_ids)}
    purchases = _known_purchases(tables["known_purchases"], catalogue, users)
    return Model(
        version=manifest.version,
        created_at_ms=_created_at(manifest),
        rank=manifest.rank,
        catalogue=catalogue,
        users=users,
        user_factors=user_factors,
        items=InnerProductIndex(item_factors),
        similar=InnerProductIndex(unit_vectors(item_factors)),
        fold_in=FoldIn(item_factors, manifest.settings.alpha, manifest.settings.regularisation),
        popular=_popular(tables["popularity"], catalogue),
        purchases=purchases,
    )


def _created_at(manifest: Manifest) -> int:
    try:
        return parse_time(manifest.created_at)
    except ValueError as error:
        raise Refused(Fault.MANIFEST, f"manifest.json: created_at {error}") from None


def _expect_count(what: str, promised: int, found: int) -> None:
    if promised != found:
        raise Refused(Fault.SHAPE, f"there are {found} {what}, not {promised} as in the manifest")


def _factors(table: pa.Table, name: str, key: str, rank: int) -> tuple[list[str], Float32s]:
    """Ids in ascending order, and their factors [ids, rank]."""
    lengths = _numpy(pc.list_value_length(table["factors"]))
    if (lengths != rank).any():
        raise Refused(Fault.SHAPE, f"{name}: not every vector has {rank} factors")
    factors = _numpy(pc.list_flatten(table["factors"])).reshape(-1, rank)
    if not (np.abs(factors) <= _LARGEST_FACTOR).all():  # false for NaN too
        raise Refused(Fault.VALUES, f"{name}: a factor is not a number, or beyond ±{_LARGEST_FACTOR:,.0f}")
    ids = _distinct(table[key], name)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return [ids[row] for row in order], np.ascontiguousarray(factors[order], dtype=np.float32)


def _catalogue(table: pa.Table, item_ids: list[str]) -> Catalogue:
    place = {id_: row for row, id_ in enumerate(_distinct(table["product_id"], "catalogue"))}
    scored = set(item_ids)
    if missing := sorted(scored - place.keys())[:3]:
        raise Refused(Fault.VALUES, f"item_factors: products that the catalogue lacks, such as {', '.join(missing)}")
    product_ids = item_ids + sorted(place.keys() - scored)
    ordered = table.take(pa.array([place[id_] for id_ in product_ids], pa.int64()))
    return Catalogue(
        product_ids=product_ids,
        scored=len(item_ids),
        names=_labels(ordered["product_name"]),
        categories=_labels(ordered["category_code"]),
        brands=_labels(ordered["brand"]),
        prices=_prices(ordered["price_cents"]),
    )


def _prices(column: Any) -> NDArray[np.int64]:
    return _numpy(column.fill_null(NO_PRICE))


def _labels(column: Any) -> Labels:
    encoded = column.fill_null("").combine_chunks().dictionary_encode()
    return Labels(_numpy(encoded.indices), encoded.dictionary.to_pylist())


def _popular(table: pa.Table, catalogue: Catalogue) -> Ranked:
    ids = _distinct(table["product_id"], "popularity")
    scores = _numpy(table["score"])
    if not np.isfinite(scores).all():
        raise Refused(Fault.VALUES, "popularity: a score is not a finite number")
    order = sorted(range(len(ids)), key=lambda place: (-scores[place], ids[place]))
    rows = [_row(catalogue, ids[place], "popularity") for place in order]
    return Ranked(np.array(rows, dtype=np.int32), scores[order].astype(np.float64))


def _row(catalogue: Catalogue, product_id: str, name: str) -> int:
    row = catalogue.row(product_id)
    if row is None:
        raise Refused(Fault.VALUES, f"{name}: product {product_id} is not in the catalogue")
    return row


def _known_purchases(table: pa.Table, catalogue: Catalogue, users: dict[str, int]) -> KnownPurchases:
    """Compressed rows over `users`, which is extended by buyers who have no factors."""
    buyers = _distinct(table["user_id"], "known_purchases")
    owner = np.array([users.setdefault(buyer, len(users)) for buyer in buyers], dtype=np.int64)
    lengths = _numpy(pc.list_value_length(table["product_ids"]))
    owners = np.repeat(owner, lengths)
    products = _catalogue_rows(pc.list_flatten(table["product_ids"]), catalogue)
    pieces = _pieces(table, lengths)
    known = products >= 0  # what the catalogue lacks can be neither shown nor folded in
    order = np.lexsort((products[known], owners[known]))
    counts = np.bincount(owners[known], minlength=len(users))
    return KnownPurchases(
        starts=np.concatenate(([0], np.cumsum(counts))),
        products=products[known][order],
        pieces=pieces[known][order],
    )


def _catalogue_rows(product_ids: Any, catalogue: Catalogue) -> NDArray[np.int32]:
    found = pc.index_in(product_ids, value_set=pa.array(catalogue.product_ids, pa.string()))
    return _numpy(found.fill_null(-1)).astype(np.int32)


def _pieces(table: pa.Table, lengths: NDArray[Any]) -> NDArray[np.float64]:
    if "pieces" not in table.column_names:
        return np.ones(int(lengths.sum()))
    if (_numpy(pc.list_value_length(table["pieces"])) != lengths).any():
        raise Refused(Fault.SHAPE, "known_purchases: pieces and product_ids differ in length")
    pieces = _numpy(pc.list_flatten(table["pieces"]))
    if not ((pieces > 0) & np.isfinite(pieces)).all():
        raise Refused(Fault.VALUES, "known_purchases: pieces must be above 0")
    return pieces


def _distinct(column: Any, name: str) -> list[str]:
    ids: list[str] = column.to_pylist()
    if len(set(ids)) != len(ids):
        raise Refused(Fault.VALUES, f"{name}: an id occurs twice")
    return ids


def _numpy(column: Any) -> NDArray[Any]:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array
