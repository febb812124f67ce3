"""Customers → rows of their recommendations, batch by batch. Runs on the executors; no Spark in here.

The answers are those of the recommender itself, from the model as of its cut-off.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

import pyarrow as pa

from recsys.answers import Answer
from recsys.catalogue import Filters
from recsys.model import Model, load_model
from recsys.recommender import Recommender
from recsys.rotation import Rotation
from recsys.variety import Variety
from services.common.model_registry import folder_of
from services.common.money import format_cents
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings

COLUMNS = (
    ("user_id", "string"),
    ("rank", "int"),
    ("product_id", "string"),
    ("product_name", "string"),
    ("category_code", "string"),
    ("brand", "string"),
    ("price", "string"),
    ("score", "double"),
    ("reason", "string"),
    ("reason_product_id", "string"),
    ("strategy", "string"),
    ("model_version", "string"),
)
"""A row for each product of a customer's list, `rank` from 1. Texts that the catalogue lacks are null; `price` is a
decimal with two places."""

_ARROW: dict[str, pa.DataType] = {"string": pa.string(), "int": pa.int32(), "double": pa.float64()}
_SCHEMA = pa.schema([(name, _ARROW[kind]) for name, kind in COLUMNS])
# As many customers as a batch of the recommender's own holds.
_CUSTOMERS = 1_000

Row = tuple[str | int | float | None, ...]
Batches = Iterator[pa.RecordBatch]


def answering(
    settings: S3Settings, variety: Variety, rotation: Rotation, version: str, k: int, now_ms: int
) -> Callable[[Batches], Batches]:
    """A function for `mapInArrow`: batches of (user_id: string) → batches of `COLUMNS`.

    Each worker process loads the model once. Raises InvalidModel.
    """

    def answer(batches: Batches) -> Batches:
        recommender = _recommender(_Key(settings), version, variety, rotation)
        for batch in batches:
            users = [str(user) for user in batch.column(0).to_pylist()]
            for start in range(0, len(users), _CUSTOMERS):
                yield table_of(rows_of(recommender, users[start : start + _CUSTOMERS], k, now_ms))

    return answer


class _Key:
    """Settings as the key of a cache: equal where they name the same bucket."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._name = (settings.s3_endpoint, settings.s3_bucket)

    def __hash__(self) -> int:
        return hash(self._name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._name == other._name


@lru_cache(maxsize=1)
def _recommender(key: _Key, version: str, variety: Variety, rotation: Rotation) -> Recommender:
    store = ObjectStore(key.settings)
    try:
        model = load_model(store, folder_of(version).removesuffix("/"), version)
    finally:
        store.close()
    return Recommender(model, model.live_state(), variety=variety, rotation=rotation)


def rows_of(recommender: Recommender, users: Sequence[str], k: int, now_ms: int) -> Iterator[Row]:
    """The rows of these customers, in their order."""
    for user, answer in zip(users, recommender.for_users(users, k, Filters(), now_ms), strict=True):
        yield from _rows(recommender.model, user, answer)


def _rows(model: Model, user: str, answer: Answer) -> Iterator[Row]:
    catalogue = model.catalogue
    for rank, pick in enumerate(answer.picks, start=1):
        row, because, price = pick.product, pick.reason.product, catalogue.price(pick.product)
        yield (
            user,
            rank,
            catalogue.product_ids[row],
            catalogue.names[row] or None,
            catalogue.categories[row] or None,
            catalogue.brands[row] or None,
            None if price is None else format_cents(price),
            pick.score,
            pick.reason.code.value,
            None if because is None else catalogue.product_ids[because],
            answer.strategy.value,
            model.version,
        )


def table_of(rows: Iterable[Row]) -> pa.RecordBatch:
    """Rows as a batch of `COLUMNS`."""
    columns = list(zip(*rows, strict=True)) or [()] * len(_SCHEMA)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, _SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
