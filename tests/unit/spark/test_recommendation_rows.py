"""Rows of exported recommendations, without Spark."""

import pyarrow as pa
import pytest

from recsys.catalogue import Filters
from recsys.live_state import LiveState
from recsys.model import Model, load_model
from recsys.recommender import Recommender
from recsys.rotation import Rotation
from recsys.variety import Variety
from services.common.settings import S3Settings
from spark import recommendation_rows
from spark.recommendation_rows import COLUMNS, answering, rows_of, table_of
from tests.support.models import CUT_OFF_MS, MODELS, VERSION, Objects, checkerboard, write_model

NOW_MS = CUT_OFF_MS + 86_400_000
NAMES = [name for name, _ in COLUMNS]


def recommender() -> Recommender:
    store = Objects()
    write_model(store, checkerboard())
    model = load_model(store, f"{MODELS}/{VERSION}", VERSION)
    return Recommender(model, model.live_state())


def test_a_row_for_each_product_of_a_customer_s_list() -> None:
    asked = recommender()
    rows = [dict(zip(NAMES, row, strict=True)) for row in rows_of(asked, ["u02", "u03"], 3, NOW_MS)]
    assert [(row["user_id"], row["rank"]) for row in rows] == [(user, n) for user in ("u02", "u03") for n in (1, 2, 3)]
    first = rows[0]
    assert (first["product_id"], first["product_name"], first["price"]) == ("p02", "Product 2", "20.00")
    assert (first["category_code"], first["brand"]) == ("electronics.audio", "acme")
    assert rows[3]["brand"] is None
    assert (first["strategy"], first["model_version"]) == ("personal", VERSION)


def test_the_numbers_are_the_recommender_s() -> None:
    users = [f"u{number:02d}" for number in range(8)]
    found = [(row[0], row[2], row[7]) for row in rows_of(recommender(), users, 5, NOW_MS)]
    asked = recommender()
    expected = [
        (user, asked.model.catalogue.product_ids[pick.product], pick.score)
        for user in users
        for pick in asked.for_user(user, 5, Filters(), NOW_MS).picks
    ]
    assert found == expected


def test_an_export_has_the_variety_and_the_rotation_of_the_recommender(monkeypatch: pytest.MonkeyPatch) -> None:
    class Store(Objects):
        def close(self) -> None:
            """There is nothing to close."""

    store = Store()
    write_model(store, checkerboard())
    asked: list[Variety | Rotation] = []

    def recording(model: Model, live: LiveState, *, variety: Variety, rotation: Rotation) -> Recommender:
        asked.extend((variety, rotation))
        return Recommender(model, live, variety=variety, rotation=rotation)

    monkeypatch.setattr(recommendation_rows, "ObjectStore", lambda settings: store)
    monkeypatch.setattr(recommendation_rows, "Recommender", recording)
    users, varied = pa.RecordBatch.from_pydict({"user_id": ["u02", "u03"]}), Variety(same_category=1)
    settings, rotation = S3Settings(s3_bucket="export-with-variety"), Rotation(2)
    (rows,) = answering(settings, varied, rotation, VERSION, 3, NOW_MS)(iter([users]))
    assert (rows.num_rows, asked) == (6, [varied, rotation])


def test_a_batch_without_rows_has_the_columns() -> None:
    assert table_of([]).schema.names == NAMES
    assert table_of(rows_of(recommender(), ["u00"], 2, NOW_MS)).num_rows == 2
