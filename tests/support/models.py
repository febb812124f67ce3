"""Small model folders for tests: trained on a few purchases, written as the Spark job writes them."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.basket_weights import BasketWeights, half_lives_h
from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.model import Model
from recsys.model_format import TABLES
from recsys.recommender import Recommender
from recsys.score_weights import DecayTerm, ScoreWeights
from services.common.storage_errors import NoSuchObject
from services.recommender.serving import ServingModel

Pieces = Mapping[str, Mapping[str, int]]  # user → product → net pieces
Files = dict[str, bytes]

MODELS = "models/als"
VERSION = "20200501T000000Z-000001"
CUT_OFF_MS = 1_588_291_200_000  # 2020-05-01T00:00:00Z
FACTORS = ScoreWeights(factors=1.0, popularity=0.001, trends=(DecayTerm(24.0, 1.0),), recency=(DecayTerm(336.0, 1.0),))
"""What the factors say, and popularity where they say nothing."""
COMPOSITION = FACTORS


@dataclass(frozen=True)
class Product:
    """A line of the catalogue."""

    name: str | None = None
    category: str | None = None
    brand: str | None = None
    price: int = 1000


@dataclass(frozen=True)
class ModelSpec:
    """What a folder holds. Change a part with `dataclasses.replace`."""

    user_factors: Mapping[str, Iterable[float]]
    item_factors: Mapping[str, Iterable[float]]
    catalogue: Mapping[str, Product]
    popularity: Mapping[str, float]
    purchases: Pieces
    rank: int
    alpha: float
    regularisation: float
    version: str = VERSION
    composition: ScoreWeights = COMPOSITION
    co_purchases: Mapping[str, tuple[int, Mapping[str, int]]] | None = None  # buyers, neighbour → count; None: counted
    order_pairs: Mapping[str, tuple[int, Mapping[str, int]]] = field(default_factory=dict)  # orders, neighbour → count
    basket: BasketWeights | None = None
    category_ties: Mapping[tuple[str, str], float] = field(default_factory=dict)
    trends: Mapping[str, float] | None = None  # of every half-life; None: the popularity
    bought_ms: int = CUT_OFF_MS - DAY_MS
    last_sold_ms: int | None = CUT_OFF_MS - DAY_MS
    manifest: Mapping[str, Any] = field(default_factory=dict)  # fields that overwrite the true ones


class Objects:
    """A bucket in memory, with the reading half of an ObjectStore."""

    def __init__(self) -> None:
        self.objects: Files = {}

    def get(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise NoSuchObject(key) from None

    def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body


class Writable(Protocol):
    """An ObjectStore, or Objects."""

    def put(self, key: str, body: bytes) -> None: ...


def checkerboard(version: str = VERSION, size: int = 8) -> ModelSpec:
    """Even users bought even products, odd users odd ones, each all but the one of their own number.

    So the only sensible first recommendation for user n is product n. Products are `p00`, `p01`, …; even ones are
    `electronics.audio` of brand `acme`, odd ones `furniture.kitchen` without a brand; `p<n>` costs n × 10.00.
    `p90` was never bought by a known user: no factors, but the most popular product.
    """
    products = [f"p{n:02d}" for n in range(size)]
    purchases = {f"u{n:02d}": {f"p{m:02d}": 1 for m in range(n % 2, size, 2) if m != n} for n in range(size)}
    catalogue = {
        id_: Product(f"Product {n}", "electronics.audio", "acme", n * 1000)
        if n % 2 == 0
        else Product(f"Product {n}", "furniture.kitchen", None, n * 1000)
        for n, id_ in enumerate(products)
    }
    spec = trained(purchases, rank=2, version=version)
    return replace(
        spec,
        catalogue=catalogue | {"p90": Product(None, None, "zeta", 500)},
        popularity={"p90": 50.0} | dict.fromkeys(products, 10.0),
    )


def trained(
    purchases: Pieces,
    rank: int,
    *,
    alpha: float = 40.0,
    regularisation: float = 0.01,
    version: str = VERSION,
    seed: int = 7,
) -> ModelSpec:
    """A model of these purchases alone."""
    users, products = sorted(purchases), sorted({id_ for bought in purchases.values() for id_ in bought})
    ratings = np.array([[np.log1p(purchases[user].get(id_, 0)) for id_ in products] for user in users])
    x, y = als(ratings, rank, alpha=alpha, regularisation=regularisation, seed=seed)
    return ModelSpec(
        user_factors=dict(zip(users, x.tolist(), strict=True)),
        item_factors=dict(zip(products, y.tolist(), strict=True)),
        catalogue={id_: Product() for id_ in products},
        popularity={id_: float(ratings[:, place].sum()) for place, id_ in enumerate(products)},
        purchases=purchases,
        rank=rank,
        alpha=alpha,
        regularisation=regularisation,
        version=version,
    )


def als(
    ratings: NDArray[np.float64], rank: int, *, alpha: float, regularisation: float, seed: int, iterations: int = 15
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Implicit ALS by the textbook, dense: users [users, rank] and items, users solved last as MLlib does."""
    y = np.random.default_rng(seed).normal(size=(ratings.shape[1], rank))
    x = half_step(ratings, y, alpha, regularisation)
    for _ in range(iterations):
        y = half_step(ratings.T, x, alpha, regularisation)
        y = y.astype(np.float32).astype(np.float64)  # what is exported, and what users are then solved against
        x = half_step(ratings, y, alpha, regularisation)
    return x, y


def half_step(
    ratings: NDArray[np.float64], fixed: NDArray[np.float64], alpha: float, regularisation: float
) -> NDArray[np.float64]:
    """(FᵀCF + λnI)⁻¹ FᵀCp for each row of ratings, with C written out as a matrix over all columns."""
    solved = []
    for row in ratings:
        confidence = np.diag(1 + alpha * row)
        penalty = regularisation * np.count_nonzero(row) * np.eye(fixed.shape[1])
        solved.append(np.linalg.inv(fixed.T @ confidence @ fixed + penalty) @ fixed.T @ confidence @ (row > 0))
    return np.array(solved)


def model_files(spec: ModelSpec, parts: int = 2) -> Files:
    """The folder's files by relative path, manifest included; tables are split in up to `parts` files."""
    files: Files = {}
    entries = []
    for table, rows in _tables(spec).items():
        for number, part in enumerate(_split(rows, parts)):
            path = f"{table}/part-{number:05d}.parquet"
            files[path] = _parquet(part)
            entries.append(entry_of(path, files[path], part.num_rows))
    files["manifest.json"] = json.dumps(_manifest(spec, entries)).encode()
    return files


def entry_of(path: str, body: bytes, rows: int) -> dict[str, Any]:
    """The manifest's entry of a file."""
    return {"path": path, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "rows": rows}


def write_model(store: Writable, spec: ModelSpec) -> None:
    """Write the folder, manifest last; the pointer stays."""
    for path, body in model_files(spec).items():
        store.put(f"{MODELS}/{spec.version}/{path}", body)


def point_at(store: Writable, version: str, note: str = "") -> None:
    """Move the pointer."""
    pointer = {"version": version, "activated_at": "2020-05-01T00:00:00Z", "activated_by": "admin", "note": note}
    store.put(f"{MODELS}/current.json", json.dumps(pointer).encode())


def publish(store: Writable, spec: ModelSpec) -> None:
    """Write the folder and move the pointer to it."""
    write_model(store, spec)
    point_at(store, spec.version)


def without_stream(model: Model) -> ServingModel:
    """A model that answers from what it was trained on, without a stream."""
    return ServingModel(Recommender(model, model.live_state()), loaded_at_ms=1_600_000_000_000)


def point_at_variants(store: Writable, version: str, **variants: tuple[str, float]) -> None:
    """Move the pointer, with A/B variants: name = (version, weight)."""
    entries = [{"name": name, "version": of, "weight": weight} for name, (of, weight) in variants.items()]
    store.put(f"{MODELS}/current.json", json.dumps({"version": version, "variants": entries}).encode())


def _tables(spec: ModelSpec) -> dict[str, pa.Table]:
    trends = spec.popularity if spec.trends is None else spec.trends
    rows: dict[str, list[tuple[Any, ...]]] = {
        "user_factors": list(spec.user_factors.items()),
        "item_factors": list(spec.item_factors.items()),
        "catalogue": [
            (id_, p.name, p.category, p.brand, p.price, spec.last_sold_ms) for id_, p in spec.catalogue.items()
        ],
        "popularity": list(spec.popularity.items()),
        "known_purchases": [
            (user, list(bought), list(bought.values()), [spec.bought_ms] * len(bought))
            for user, bought in spec.purchases.items()
        ],
        "co_purchases": [
            (id_, buyers, list(counts), list(counts.values())) for id_, (buyers, counts) in _co_purchases(spec).items()
        ],
        "order_pairs": [
            (id_, orders, list(counts), list(counts.values())) for id_, (orders, counts) in spec.order_pairs.items()
        ],
        "category_ties": [(*pair, tie) for pair, tie in spec.category_ties.items()],
        "trends": [
            (id_, half_life_ms / HOUR_MS, count)
            for id_, count in trends.items()
            for half_life_ms in (hours * HOUR_MS for hours in half_lives_h(spec.composition, spec.basket))
        ],
    }
    return {name: _table(declared.columns, rows[name]) for name, declared in TABLES.items()}


def _co_purchases(spec: ModelSpec) -> Mapping[str, tuple[int, Mapping[str, int]]]:
    """How many customers bought each product, and each pair of products."""
    if spec.co_purchases is not None:
        return spec.co_purchases
    holders: dict[str, set[str]] = {}
    for user, bought in spec.purchases.items():
        for id_ in bought:
            holders.setdefault(id_, set()).add(user)
    return {
        id_: (len(own), {other: n for other, theirs in holders.items() if other != id_ and (n := len(own & theirs))})
        for id_, own in holders.items()
    }


def _table(columns: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    arrays = [pa.array([row[place] for row in rows], kind) for place, kind in enumerate(columns.types)]
    return pa.Table.from_arrays(arrays, names=columns.names)


def _split(table: pa.Table, parts: int) -> list[pa.Table]:
    size = max(1, -(-table.num_rows // parts))
    return [table.slice(start, size) for start in range(0, max(1, table.num_rows), size)]


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _manifest(spec: ModelSpec, entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format_version": 2,
        "version": spec.version,
        "created_at": "2020-05-01T00:00:00Z",
        "algorithm": "als",
        "rank": spec.rank,
        "users": len(spec.user_factors),
        "items": len(spec.item_factors),
        "files": entries,
        "training": {
            "from": "2020-01-01T00:00:00Z",
            "to": "2020-05-01T00:00:00Z",
            "offsets": {"0": 100},
        },
        "composition": msgspec.to_builtins(spec.composition),
        "basket": msgspec.to_builtins(spec.basket),
        "settings": {"rank": spec.rank, "alpha": spec.alpha, "regularisation": spec.regularisation, "seed": 7},
        "metrics": {},
        "counts": {"purchases": sum(len(bought) for bought in spec.purchases.values())},
    } | dict(spec.manifest)
