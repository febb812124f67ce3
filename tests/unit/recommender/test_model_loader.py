"""What the loader takes and what it refuses; the old model stays. Objects in memory stand for the bucket."""

import io
import json
import re
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.answers import ReasonCode
from recsys.catalogue import Facts, Filters
from recsys.live_state import Purchase
from recsys.model import Model, load_model
from recsys.recommender import Recommender
from services.recommender.model_loader import ModelLoader
from services.recommender.serving import Refusal, Serving, ServingModel
from tests.support.metrics import gauge, growth
from tests.support.models import (
    CUT_OFF_MS,
    MODELS,
    VERSION,
    ModelSpec,
    Objects,
    Product,
    checkerboard,
    entry_of,
    model_files,
    point_at,
    point_at_variants,
    publish,
    without_stream,
    write_model,
)

NEWER = "20200502T000000Z-000002"

Damage = Callable[[dict[str, bytes]], None]


def loader_of(store: Objects) -> ModelLoader:
    return ModelLoader(store, poll_s=60, on_change=lambda serving: None, attach_state=without_stream)


def version_of(serving: Serving) -> str | None:
    return serving.main.model.version if serving.main else None


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
    del files["item_factors/part-00001.parquet"]


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
    entries[-1]["rows"] += 1
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
        (lose_a_part, r"item_factors/part-00001\.parquet is missing"),
        (lose_the_manifest, r"manifest\.json is missing"),
        (spoil_the_manifest, r"manifest\.json: "),
        (list_no_popularity, r"lists no file of popularity"),
        (not_parquet, r"catalogue/part-00000\.parquet: "),
        (drop_a_column, r"catalogue/part-00000\.parquet: .*brand"),
        (text_for_prices, r"catalogue/part-00000\.parquet: "),
        (null_an_id, r"product_id is null in 1 rows"),
        (fewer_rows_than_promised, r"has \d+ rows, not \d+"),
        (lambda files: change(files, format_version=3), r"format_version is 3, .* reads 2: update the service"),
        (lambda files: change(files, format_version=1), r"format_version is 1, .* reads 2: run `make train`"),
        (lambda files: change(files, composition={"factors": 1.0, "magic": 2.0}), r"magic"),
        (lambda files: change(files, composition={"balance": 7.0}), r"balance 7"),
        (lambda files: change(files, training={"offsets": {}}), r"to"),
        (lambda files: change(files, training={"to": "tomorrow"}), r"training.to 'tomorrow'"),
        (lambda files: change(files, version="other"), r"names version 'other'"),
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
        (replace(SPEC, item_factors={**SPEC.item_factors, "p00": [float("inf"), 0.0]}), "not a number"),
        (replace(SPEC, item_factors={**SPEC.item_factors, "p00": [2e6, 0.0]}), "beyond"),
        (replace(SPEC, item_factors={**SPEC.item_factors, "p00": [1.0]}), "not every vector has 2 factors"),
        (replace(SPEC, catalogue={"p00": Product()}), "catalogue lacks, such as p01, p02, p03"),
        (replace(SPEC, popularity={"ghost": 1.0}), "product ghost is not in the catalogue"),
        (replace(SPEC, popularity={"p00": float("nan")}), "popularity: a score is not a number of 0 or more"),
        (replace(SPEC, popularity={"p00": -1.0}), "popularity: a score is not a number of 0 or more"),
        (replace(SPEC, purchases={"u00": {"ghost": 1}}), "known_purchases: product ghost is not in the catalogue"),
        (replace(SPEC, co_purchases={"p00": (2, {"ghost": 1})}), "co_purchases: product ghost is not in the catalogue"),
        (replace(SPEC, co_purchases={"ghost": (2, {})}), "co_purchases: product ghost is not in the catalogue"),
        (replace(SPEC, co_purchases={"p00": (2, {"p02": 0})}), "co_purchases: counts must be above 0"),
        (replace(SPEC, co_purchases={"p00": (-2, {})}), "co_purchases: a buyers is not a number of 0 or more"),
        (replace(SPEC, order_pairs={"p00": (2, {"ghost": 1})}), "order_pairs: product ghost is not in the catalogue"),
        (replace(SPEC, order_pairs={"p00": (-2, {})}), "order_pairs: a orders is not a number of 0 or more"),
        (replace(SPEC, category_ties={("a", "b"): float("nan")}), "category_ties: a tie is not a number of 0 or more"),
        (replace(SPEC, trends={"ghost": 1.0}), "trends: product ghost is not in the catalogue"),
        (replace(SPEC, trends={"p00": float("inf")}), "trends: a count is not a number of 0 or more"),
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
    live = loader.serving.main
    point_at(store, VERSION)
    loader.poll()
    assert loader.serving == Serving(live)
    assert store.read.count(f"{MODELS}/{VERSION}/manifest.json") == 1


def test_metrics_tell_the_version_and_count_refusals_by_fault() -> None:
    def value(name: str, **labels: str) -> float:
        return gauge(f"recommender_{name}", **labels) or 0.0

    store = Objects()
    publish(store, checkerboard())
    loader = loader_of(store)
    loader.poll()
    assert value("model_info", version=VERSION, variant="main") == 1
    assert value("model_created_timestamp_seconds") == 1588291200
    refusals = growth("recommender_model_refusals_total", fault="checksum")
    files = model_files(checkerboard(NEWER))
    flip_a_bit(files)
    publish_files(store, files)
    loader.poll()
    assert refusals() == 1
    assert value("model_refused") == 1
    assert value("model_info", version=NEWER, variant="main") == 0
    publish(store, checkerboard("20200503T000000Z-000003"))
    loader.poll()
    assert value("model_refused") == 0
    assert value("model_info", version=VERSION, variant="main") == 0


def test_every_change_is_reported() -> None:
    reported: list[Serving] = []
    store = Objects()
    loader = ModelLoader(store, poll_s=60, on_change=reported.append, attach_state=without_stream)
    publish(store, checkerboard())
    loader.poll()
    loader.poll()
    point_at(store, "20990101T000000Z-ffffff")
    loader.poll()
    assert [(version_of(serving), serving.refusal is None) for serving in reported] == [
        (VERSION, True),
        (VERSION, False),
    ]


def test_a_closed_loader_gives_a_load_up_at_the_next_file() -> None:
    store = Objects()
    publish(store, checkerboard())
    loader = loader_of(store)
    loader.close()
    with pytest.raises(InterruptedError):
        loader.poll()
    assert loader.serving == Serving()


def lists_of_different_length(files: dict[str, bytes], table: str, column: str) -> None:
    path = f"{table}/part-00000.parquet"
    read_ = read(files, path)
    lists = [values[:-1] for values in read_[column].to_pylist() if values is not None]
    place = read_.column_names.index(column)
    rewrite(files, path, read_.set_column(place, column, pa.array(lists, read_.schema.field(column).type)))


def rows_twice(files: dict[str, bytes], table: str) -> None:
    path = f"{table}/part-00000.parquet"
    rewrite(files, path, pa.concat_tables([read(files, path)] * 2))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda files: lists_of_different_length(files, "known_purchases", "pieces"), "pieces and product_ids differ"),
        (lambda files: lists_of_different_length(files, "known_purchases", "bought_ms"), "bought_ms and product_ids"),
        (lambda files: lists_of_different_length(files, "co_purchases", "counts"), "counts and neighbour_ids differ"),
        (lambda files: rows_twice(files, "known_purchases"), "known_purchases: an id occurs twice"),
        (lambda files: rows_twice(files, "co_purchases"), "co_purchases: an id occurs twice"),
        (lambda files: rows_twice(files, "popularity"), "popularity: an id occurs twice"),
        (lambda files: rows_twice(files, "trends"), "trends: a product occurs twice"),
        (lambda files: rows_twice(files, "category_ties"), "category_ties: a pair of categories occurs twice"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(damage: Damage, reason: str) -> None:
    files = model_files(replace(SPEC, category_ties={("a", "b"): 0.5}), parts=1)
    damage(files)
    store = Objects()
    publish_files(store, files)
    loader = loader_of(store)
    loader.poll()
    assert loader.serving.refusal is not None
    assert reason in loader.serving.refusal.reason


def test_the_state_begins_with_what_the_tables_say() -> None:
    spec = replace(
        checkerboard(),
        purchases={"zoe": {"p05": 2, "p01": 1}, "ann": {"p90": 3}},
        co_purchases={"p01": (5, {"p05": 2, "p03": 1}), "p90": (1, {})},
        category_ties={("electronics.audio", "furniture.kitchen"): 0.25},
        trends={"p01": 4.0},
    )
    model = model_of(spec)
    live, row = model.live_state(), model.catalogue.row
    history = live.history("zoe")
    assert (history.rows.tolist(), history.quantity.tolist()) == ([row("p01"), row("p05")], [1.0, 2.0])
    assert history.event_time_ms.tolist() == [spec.bought_ms] * 2
    assert live.history("ann").rows.tolist() == [row("p90")]
    neighbours, ties = live.neighbours.weights(1, 1.0, 0.0)
    assert dict(zip(neighbours.tolist(), ties.tolist(), strict=True)) == {3: 1 / 6, 5: 2 / 6}
    (half_life_ms,) = spec.composition.half_lives_ms
    assert live.trend(half_life_ms, CUT_OFF_MS)[[0, 1]].tolist() == [0.0, 4.0]
    assert live.watermark_ms == CUT_OFF_MS
    assert live.on_sale(CUT_OFF_MS, 2).all()
    assert not live.on_sale(CUT_OFF_MS + 2 * 86_400_000, 2).any()
    categories = model.scorer.categories
    assert categories.affinity[categories.of[0], categories.of[1]] == 0.25
    assert categories.of[8] == -1, "p90 has no category"


def test_spare_rows_are_there_for_products_yet_to_be_sold() -> None:
    store = Objects()
    publish(store, checkerboard())
    model = load_model(store, f"{MODELS}/{VERSION}", VERSION, spare=3)
    live = model.live_state()
    assert (len(model.catalogue), model.catalogue.capacity, len(live.on_sale(CUT_OFF_MS, 2))) == (9, 12, 12)
    fresh = model.catalogue.add("new")
    assert fresh == 9
    live.apply(Purchase("u00", fresh, 1, CUT_OFF_MS))
    recommender = Recommender(model, live)
    shown = recommender.for_user("nobody", 100, Filters(), CUT_OFF_MS).picks
    assert {pick.product for pick in shown} == set(range(10)), "every product that was sold, and no spare row"
    substitutes = recommender.related(fresh, 3, Filters(), CUT_OFF_MS).substitutes
    assert {pick.reason.code for pick in substitutes} == {ReasonCode.POPULAR}, "nothing is known of it yet"
    model.catalogue.update(fresh, Facts("Product 3", "furniture.kitchen", None, 3000), CUT_OFF_MS)
    assert recommender.related(fresh, 1, Filters(), CUT_OFF_MS).substitutes[0].product == 3


def model_of(spec: ModelSpec) -> Model:
    store = Objects()
    publish(store, spec)
    return load_model(store, f"{MODELS}/{spec.version}", spec.version)


THIRD = "20200503T000000Z-000003"


def test_variants_are_loaded_beside_the_main_model_and_share_the_customers() -> None:
    store = Objects()
    for version in (VERSION, NEWER):
        write_model(store, checkerboard(version))
    point_at_variants(store, VERSION, trial=(NEWER, 0.25))
    loader = loader_of(store)
    loader.poll()
    serving = loader.serving
    answering = Counter(serving.model_for(f"customer-{number}") for number in range(4000))
    assert {name: served.model.version for (name, served) in answering if served} == {"main": VERSION, "trial": NEWER}
    assert answering["trial", serving.variants[0].served] == pytest.approx(1000, abs=100)


def test_a_refused_variant_leaves_its_customers_to_the_main_model() -> None:
    store = Objects()
    publish(store, checkerboard())
    point_at_variants(store, VERSION, trial=(NEWER, 0.9))
    loader = loader_of(store)
    loader.poll()
    (variant,) = loader.serving.variants
    assert (variant.served, loader.serving.refusal, version_of(loader.serving)) == (None, None, VERSION)
    assert variant.refusal == Refusal(NEWER, "manifest.json is missing")
    assert {loader.serving.model_for(f"customer-{number}")[0] for number in range(20)} == {"main"}


def test_a_version_that_answers_already_is_kept_with_its_state_whatever_its_part() -> None:
    store = CountingObjects()
    for version in (VERSION, NEWER):
        write_model(store, checkerboard(version))
    brought: list[str] = []
    gone: list[str] = []

    def attach_state(model: Model) -> ServingModel:
        brought.append(model.version)
        return without_stream(model)

    loader = ModelLoader(
        store,
        60,
        lambda serving: None,
        attach_state=attach_state,
        detach_state=lambda served: gone.append(served.model.version),
    )
    point_at_variants(store, VERSION, trial=(NEWER, 0.5))
    loader.poll()
    first, trial = loader.serving.main, loader.serving.variants[0].served
    point_at_variants(store, NEWER, before=(VERSION, 0.1), same=(NEWER, 0.1))
    loader.poll()
    assert loader.serving.main is trial
    assert [variant.served for variant in loader.serving.variants] == [first, trial]
    assert (brought, gone) == ([VERSION, NEWER], [])
    point_at(store, NEWER)
    loader.poll()
    assert (loader.serving.variants, gone) == ((), [VERSION])


def test_what_a_replaced_model_held_is_freed() -> None:
    store = Objects()
    publish(store, checkerboard())
    loader = loader_of(store)
    loader.poll()
    assert loader.serving.main is not None
    state = weakref.ref(loader.serving.main.recommender.live)
    publish(store, checkerboard(NEWER))
    loader.poll()
    assert state() is None


@pytest.mark.parametrize(
    ("variants", "reason"),
    [
        ({"trial": (NEWER, 0.0)}, "above 0"),
        ({"trial": (NEWER, 0.5), "other": (NEWER, 0.5)}, "leave something for the main model"),
        ({"main": (NEWER, 0.5)}, "names of variants"),
        ({"n" * 65: (NEWER, 0.5)}, "length <= 64"),
        ({"trial": ("../secret", 0.5)}, "version"),
    ],
)
def test_a_pointer_with_senseless_variants_is_refused(variants: dict[str, tuple[str, float]], reason: str) -> None:
    store = Objects()
    publish(store, checkerboard())
    point_at_variants(store, VERSION, **variants)
    loader = loader_of(store)
    loader.poll()
    assert loader.serving.refusal is not None
    assert reason in loader.serving.refusal.reason


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
    assert loader.serving.main is not None
    recommender, model = loader.serving.main.recommender, loader.serving.main.model
    assert list(model.catalogue.product_ids) == sorted(odd)
    shown = recommender.for_user("nobody", 7, Filters(), CUT_OFF_MS).picks
    assert [model.catalogue.product_ids[pick.product] for pick in shown] == sorted(odd)
    assert [model.catalogue.product_ids[row] for row in recommender.live.history("u00").rows] == ["0007"]
