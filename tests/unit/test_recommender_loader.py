"""What the loader takes and what it refuses; the old model stays. Objects in memory stand for the bucket."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import REGISTRY

from services.recommender.catalogue import Filters
from services.recommender.loader import ModelLoader, Serving
from services.recommender.recommend import for_user
from tests.models import (
    MODELS,
    VERSION,
    ModelSpec,
    Objects,
    Product,
    checkerboard,
    entry_of,
    model_files,
    point_at,
    publish,
    write_model,
)

NEWER = "20200502T000000Z-000002"

Damage = Callable[[dict[str, bytes]], None]


def loader_of(store: Objects) -> ModelLoader:
    return ModelLoader(store, poll_s=60, on_change=lambda serving: None)


def version_of(serving: Serving) -> str | None:
    return serving.live.model.version if serving.live else None


def publish_files(store: Objects, files: dict[str, bytes], version: str = NEWER) -> None:
    for path, body in files.items():
        store.put(f"{MODELS}/{version}/{path}", body)
    point_at(store, version)


def manifest_of(files: dict[str, bytes]) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(files["manifest.json"])
    return manifest


def rewrite(files: dict[str, bytes], path: str, table: pa.Table) -> None:
    """Replace a table's file and make the manifest agree with it: only the content is wrong then."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    put(files, path, sink.getvalue(), table.num_rows)


def put(files: dict[str, bytes], path: str, body: bytes, rows: int) -> None:
    files[path] = body
    others = [entry for entry in manifest_of(files)["files"] if entry["path"] != path]
    change(files, files=[*others, entry_of(path, body, rows)])


def read(files: dict[str, bytes], path: str) -> pa.Table:
    return pq.read_table(io.BytesIO(files[path]))


def flip_a_bit(files: dict[str, bytes]) -> None:
    body = bytearray(files["item_factors/part-00000.parquet"])
    body[len(body) // 2] ^= 1
    files["item_factors/part-00000.parquet"] = bytes(body)


def cut_off(files: dict[str, bytes]) -> None:
    files["catalogue/part-00000.parquet"] = files["catalogue/part-00000.parquet"][:-1]


def lose_a_part(files: dict[str, bytes]) -> None:
    del files["user_factors/part-00001.parquet"]


def lose_the_manifest(files: dict[str, bytes]) -> None:
    del files["manifest.json"]


def spoil_the_manifest(files: dict[str, bytes]) -> None:
    files["manifest.json"] = b'{"format_version": 1, '


def list_no_popularity(files: dict[str, bytes]) -> None:
    change(files, files=[e for e in manifest_of(files)["files"] if not e["path"].startswith("popularity/")])


def change(files: dict[str, bytes], /, **fields: Any) -> None:
    files["manifest.json"] = json.dumps(manifest_of(files) | fields).encode()


def not_parquet(files: dict[str, bytes]) -> None:
    put(files, "catalogue/part-00000.parquet", b"PAR1 no more", rows=5)


def drop_a_column(files: dict[str, bytes]) -> None:
    path = "catalogue/part-00000.parquet"
    rewrite(files, path, read(files, path).drop_columns(["brand"]))


def null_an_id(files: dict[str, bytes]) -> None:
    path = "popularity/part-00000.parquet"
    table = read(files, path)
    ids = pa.array([None, *table["product_id"].to_pylist()[1:]], pa.string())
    rewrite(files, path, table.set_column(0, "product_id", ids))


def fewer_rows_than_promised(files: dict[str, bytes]) -> None:
    entries = manifest_of(files)["files"]
    entries[0]["rows"] += 1
    change(files, files=entries)


def text_for_prices(files: dict[str, bytes]) -> None:
    path = "catalogue/part-00000.parquet"
    table = read(files, path)
    place = table.column_names.index("price_cents")
    rewrite(files, path, table.set_column(place, "price_cents", pa.array(["cheap"] * table.num_rows)))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip_a_bit, r"item_factors/part-00000\.parquet does not match its sha256"),
        (cut_off, r"catalogue/part-00000\.parquet has \d+ bytes, not \d+"),
        (lose_a_part, r"user_factors/part-00001\.parquet is missing"),
        (lose_the_manifest, r"manifest\.json is missing"),
        (spoil_the_manifest, r"manifest\.json: "),
        (list_no_popularity, r"lists no file of popularity"),
        (not_parquet, r"catalogue/part-00000\.parquet: "),
        (drop_a_column, r"catalogue/part-00000\.parquet: .*brand"),
        (text_for_prices, r"catalogue/part-00000\.parquet: "),
        (null_an_id, r"product_id is null in 1 rows"),
        (fewer_rows_than_promised, r"has \d+ rows, not \d+"),
        (lambda files: change(files, format_version=2), r"format_version is 2"),
        (lambda files: change(files, version="other"), r"names version 'other'"),
        (lambda files: change(files, users=7), r"there are 8 users, not 7"),
        (lambda files: change(files, items=9), r"there are 8 items, not 9"),
        (lambda files: change(files, rank=3), r"not every vector has 3 factors"),
        (lambda files: change(files, created_at="yesterday"), r"created_at 'yesterday'"),
        (lambda files: change(files, settings={"alpha": 1.0}), r"regularisation"),
        (lambda files: change(files, settings={"alpha": 1.0, "regularisation": 0.0}), r"above 0"),
    ],
)
def test_a_broken_folder_is_refused_with_its_reason_and_the_old_model_stays(damage: Damage, reason: str) -> None:
    store = Objects()
    publish(store, checkerboard(VERSION))
    loader = loader_of(store)
    loader.poll()
    files = model_files(checkerboard(NEWER))
    damage(files)
    publish_files(store, files)
    loader.poll()
    assert version_of(loader.serving) == VERSION
    assert loader.serving.refusal is not None
    assert loader.serving.refusal.version == NEWER
    assert re.search(reason, loader.serving.refusal.reason), loader.serving.refusal.reason


SPEC = checkerboard(NEWER)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (replace(SPEC, item_factors={**SPEC.item_factors, "p00": [float("nan"), 0.0]}), "not a number"),
        (replace(SPEC, user_factors={**SPEC.user_factors, "u00": [float("inf"), 0.0]}), "not a number"),
        (replace(SPEC, item_factors={**SPEC.item_factors, "p00": [2e6, 0.0]}), "beyond"),
        (replace(SPEC, item_factors={**SPEC.item_factors, "p00": [1.0]}), "not every vector has 2 factors"),
        (replace(SPEC, catalogue={"p00": Product()}), "catalogue lacks, such as p01, p02, p03"),
        (replace(SPEC, popularity={"ghost": 1.0}), "product ghost is not in the catalogue"),
        (replace(SPEC, popularity={"p00": float("nan")}), "score is not a finite number"),
        (replace(SPEC, purchases={"u00": {"p02": 0}}), "pieces must be above 0"),
    ],
)
def test_senseless_values_are_refused_though_every_checksum_is_right(spec: ModelSpec, reason: str) -> None:
    store = Objects()
    publish(store, spec)
    loader = loader_of(store)
    loader.poll()
    assert version_of(loader.serving) is None
    assert loader.serving.refusal is not None
    assert reason in loader.serving.refusal.reason


def test_an_id_that_occurs_twice_is_refused() -> None:
    files = model_files(checkerboard(NEWER), parts=1)
    table = read(files, "item_factors/part-00000.parquet")
    rewrite(files, "item_factors/part-00000.parquet", pa.concat_tables([table, table.slice(0, 1)]))
    change(files, items=9)
    store = Objects()
    publish_files(store, files)
    loader = loader_of(store)
    loader.poll()
    assert loader.serving.refusal is not None
    assert "occurs twice" in loader.serving.refusal.reason


@pytest.mark.parametrize("pointer", [b"", b"not json", b"[]", b'{"version": 7}', b"\xff", b'{"version": "../secret"}'])
def test_a_senseless_pointer_is_refused(pointer: bytes) -> None:
    store = Objects()
    store.put(f"{MODELS}/current.json", pointer)
    loader = loader_of(store)
    loader.poll()
    assert loader.serving.refusal is not None
    assert loader.serving.refusal.reason.startswith("current.json: ")


def test_without_a_pointer_there_is_no_model_and_no_refusal() -> None:
    loader = loader_of(Objects())
    loader.poll()
    assert loader.serving == Serving()


def test_a_pointer_that_vanishes_changes_nothing() -> None:
    store = Objects()
    publish(store, checkerboard())
    loader = loader_of(store)
    loader.poll()
    del store.objects[f"{MODELS}/current.json"]
    loader.poll()
    assert version_of(loader.serving) == VERSION


def test_the_pointer_moves_forward_and_back() -> None:
    store = Objects()
    loader = loader_of(store)
    for version in (VERSION, NEWER):
        publish(store, checkerboard(version))
        loader.poll()
        assert version_of(loader.serving) == version
    point_at(store, VERSION, note="rolled back")
    loader.poll()
    assert version_of(loader.serving) == VERSION


class CountingObjects(Objects):
    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return super().get(key)


def test_a_model_is_read_once_and_a_refused_one_only_again_when_the_pointer_moves() -> None:
    store = CountingObjects()
    write_model(store, checkerboard())
    broken = store.objects.pop(f"{MODELS}/{VERSION}/manifest.json")
    point_at(store, VERSION)
    loader = loader_of(store)
    for _ in range(3):
        loader.poll()
    assert store.read.count(f"{MODELS}/{VERSION}/manifest.json") == 1
    store.put(f"{MODELS}/{VERSION}/manifest.json", broken)
    point_at(store, VERSION, note="again")
    for _ in range(3):
        loader.poll()
    assert store.read.count(f"{MODELS}/{VERSION}/manifest.json") == 2
    assert (version_of(loader.serving), loader.serving.refusal) == (VERSION, None)


class DeafObjects(Objects):
    deaf = False

    def get(self, key: str) -> bytes:
        if self.deaf and key.endswith(".parquet"):
            raise ConnectionError("no route to the store")
        return super().get(key)


def test_trouble_with_the_store_is_no_refusal_and_is_tried_again() -> None:
    store = DeafObjects()
    publish(store, checkerboard())
    loader = loader_of(store)
    store.deaf = True
    with pytest.raises(ConnectionError):
        loader.poll()
    assert loader.serving == Serving()
    store.deaf = False
    loader.poll()
    assert version_of(loader.serving) == VERSION


def test_going_back_to_the_live_version_clears_the_refusal_without_reading_it_again() -> None:
    store = CountingObjects()
    publish(store, checkerboard())
    loader = loader_of(store)
    loader.poll()
    publish(store, checkerboard(NEWER))
    del store.objects[f"{MODELS}/{NEWER}/manifest.json"]
    loader.poll()
    assert loader.serving.refusal is not None
    live = loader.serving.live
    point_at(store, VERSION)
    loader.poll()
    assert loader.serving == Serving(live)
    assert store.read.count(f"{MODELS}/{VERSION}/manifest.json") == 1


def test_metrics_tell_the_version_and_count_refusals_by_fault() -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"tillstream_recommender_{name}", labels) or 0.0

    store = Objects()
    publish(store, checkerboard())
    loader = loader_of(store)
    loader.poll()
    assert value("model_info", version=VERSION) == 1
    assert value("model_created_timestamp_seconds") == 1588291200
    before = value("model_refusals_total", fault="checksum")
    files = model_files(checkerboard(NEWER))
    flip_a_bit(files)
    publish_files(store, files)
    loader.poll()
    assert value("model_refusals_total", fault="checksum") == before + 1
    assert value("model_refused") == 1
    assert value("model_info", version=NEWER) == 0
    publish(store, checkerboard("20200503T000000Z-000003"))
    loader.poll()
    assert value("model_refused") == 0
    assert value("model_info", version=VERSION) == 0


def test_every_change_is_told() -> None:
    told: list[Serving] = []
    store = Objects()
    loader = ModelLoader(store, poll_s=60, on_change=told.append)
    publish(store, checkerboard())
    loader.poll()
    loader.poll()
    point_at(store, "20990101T000000Z-ffffff")
    loader.poll()
    assert [(version_of(serving), serving.refusal is None) for serving in told] == [(VERSION, True), (VERSION, False)]


def test_a_closed_loader_gives_a_load_up_at_the_next_file() -> None:
    store = Objects()
    publish(store, checkerboard())
    loader = loader_of(store)
    loader.close()
    with pytest.raises(InterruptedError):
        loader.poll()
    assert loader.serving == Serving()


def test_purchases_without_pieces_count_as_one_each() -> None:
    files = model_files(checkerboard(NEWER), parts=1)
    path = "known_purchases/part-00000.parquet"
    rewrite(files, path, read(files, path).drop_columns(["pieces"]))
    store = Objects()
    publish_files(store, files)
    loader = loader_of(store)
    loader.poll()
    assert loader.serving.live is not None
    model = loader.serving.live.model
    rows, pieces = model.purchases.of(model.users["u00"])
    assert [model.catalogue.product_ids[row] for row in rows] == ["p02", "p04", "p06"]
    assert pieces.tolist() == [1.0, 1.0, 1.0]


def test_ids_are_kept_byte_for_byte_and_ordered_by_code_point() -> None:
    odd = ["0007", "7", "18446744073709551617", "ä", "Z", "z z", "𝔘"]
    spec = replace(
        checkerboard(),
        item_factors={id_: [0.5, 0.5] for id_ in odd},
        catalogue={id_: Product() for id_ in odd},
        popularity=dict.fromkeys(odd, 1.0),
        purchases={"u00": {"0007": 2}},
    )
    store = Objects()
    publish(store, spec)
    loader = loader_of(store)
    loader.poll()
    assert loader.serving.live is not None
    model = loader.serving.live.model
    assert list(model.catalogue.product_ids) == sorted(odd)
    shown = for_user(model, "nobody", 7, Filters()).picks
    assert [model.catalogue.product_ids[pick.product] for pick in shown] == sorted(odd)
    assert [model.catalogue.product_ids[row] for row in model.purchases.of(model.users["u00"])[0]] == ["0007"]
