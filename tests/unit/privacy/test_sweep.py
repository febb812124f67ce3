"""The bucket without an erased customer: archive, curated purchases, reports, models."""

import dataclasses
import gzip
import io
import json

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.model_format import read_manifest, read_tables
from services.common.archive.lines import archive_line
from services.common.erased import Erased
from services.common.erasure_list import KEY, BadErasureList, add_erased, digest_in, read_erased
from services.common.event_rules import DEFAULT_RULES
from services.common.model_pointer import Pointer, Variant
from services.common.model_registry import POINTER, folder_of, manifest_key, published_versions, read_pointer
from services.common.storage_errors import NoSuchObject
from services.privacy.models import NothingLeft
from services.privacy.redaction import CannotRedact
from services.privacy.stored import stored_of
from services.privacy.sweep import sweep
from tests.support.bucket import Bucket
from tests.support.models import VERSION, checkerboard, point_at_variants, write_model
from tests.support.records import NOW, encode

USER, OTHER = "u03", "u01"
BOTH = (USER, OTHER)
CSV = f'user_id,rank,product_name\n{USER},1,"say ""a"", b"\n{OTHER},1,"{USER}, c"\n{USER},2,d\n'
OBJECT = "raw/purchases/2026/09/21/14/0-00000000000000000000.json.gz"


def event(user_id: str, number: int) -> bytes:
    return encode(
        {"event_time": "2020-04-24T11:50:39Z", "order_id": f"o{number}", "product_id": "p", "price": "1.00"}
        | {"user_id": user_id}
    )


def parquet(**columns: list[object]) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    return written.getvalue()


def read_parquet(body: bytes) -> dict[str, list[object]]:
    return pq.read_table(io.BytesIO(body)).to_pydict()


@pytest.fixture
def bucket() -> Bucket:
    """A shop of several customers with two versions of its model."""
    bucket = Bucket()
    lines = [archive_line(0, n, NOW, event(user, n)) for n, user in enumerate((USER, OTHER, USER))]
    bucket.put(OBJECT, gzip.compress(b"".join(lines)))
    bucket.put(OBJECT.replace("/14/", "/15/"), gzip.compress(archive_line(0, 3, NOW, event(OTHER, 3))))
    bucket.put("curated/purchases/v/month=2020-04/a.parquet", parquet(user_id=[USER, OTHER, None], revenue=[1, 2, 3]))
    bucket.put("reports/v/customers/a.parquet", parquet(user_id=[OTHER, USER], revenue=[1, 2]))
    figures = {"totals": {"revenue": "3.00"}, "top": {"spenders": [{"id": USER}, {"id": OTHER}]}}
    bucket.put("reports/v/figures.json", json.dumps(figures).encode())
    bucket.put("reports/recommendations/v/k3-csv/a.csv", CSV.encode())
    bucket.put("reports/recommendations/v/k3-jsonl/a.json", b"".join(encode({"user_id": u}) + b"\n" for u in BOTH))
    write_model(bucket, checkerboard())
    write_model(bucket, dataclasses.replace(checkerboard(), version="other"))
    point_at_variants(bucket, VERSION, b=("other", 0.1))
    return bucket


def erased_in(bucket: Bucket, *users: str) -> Erased:
    for user in users:
        add_erased(bucket, user, NOW)
    erased = read_erased(bucket)
    assert erased is not None
    return erased


def test_nothing_of_the_customer_is_left_and_all_of_the_others(bucket: Bucket) -> None:
    assert {each.store for each in stored_of(bucket, USER, DEFAULT_RULES, NOW)} == {
        "archive",
        "curated",
        "exports",
        "reports",
        "models",
    }
    others = [each.value for each in stored_of(bucket, OTHER, DEFAULT_RULES, NOW)]
    changed = sweep(bucket, erased_in(bucket, USER), DEFAULT_RULES, NOW)
    assert changed == {"archive": 1, "curated": 1, "reports": 4, "models": 2}
    assert list(stored_of(bucket, USER, DEFAULT_RULES, NOW)) == []
    assert [each.value for each in stored_of(bucket, OTHER, DEFAULT_RULES, NOW)] == others
    curated = read_parquet(bucket.get("curated/purchases/v/month=2020-04/a.parquet"))
    assert curated == {"user_id": [None, OTHER, None], "revenue": [1, 2, 3]}
    assert json.loads(bucket.get("reports/v/figures.json"))["top"]["spenders"] == [{"id": OTHER}]
    exported = bucket.get("reports/recommendations/v/k3-csv/a.csv").decode()
    assert exported == f'user_id,rank,product_name\n{OTHER},1,"{USER}, c"\n'
    assert len(gzip.decompress(bucket.get(OBJECT)).splitlines()) == 3


def test_a_damaged_object_does_not_keep_the_others(bucket: Bucket) -> None:
    """The archive is swept first, and what comes after it is swept all the same."""
    damaged = gzip.compress(archive_line(0, 4, NOW, event(USER, 4)))[:-9]
    keys = ("raw/purchases/2026/09/21/13/0-00000000000000000004.json.gz", "curated/purchases/v/month=2020-03/a.parquet")
    for key, body in zip(keys, (damaged, b"PAR1"), strict=True):
        bucket.put(key, body)
    with pytest.raises(CannotRedact, match=r"2 objects stay .* the first one: raw/purchases/2026/09/21/13/"):
        sweep(bucket, erased_in(bucket, USER), DEFAULT_RULES, NOW)
    for key in keys:
        bucket.delete(key)
    assert list(stored_of(bucket, USER, DEFAULT_RULES, NOW)) == []


def test_a_second_sweep_changes_nothing(bucket: Bucket) -> None:
    erased = erased_in(bucket, USER)
    sweep(bucket, erased, DEFAULT_RULES, NOW)
    before = dict(bucket.objects)
    assert not any(sweep(bucket, erased, DEFAULT_RULES, NOW).values())
    assert bucket.objects == before


def test_an_interrupted_sweep_is_finished_by_the_next_one(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops at each write once; what the pointer names can be loaded at any time."""
    erased, writes, seen = erased_in(bucket, USER), 0, b""

    class Stopped(Exception):
        pass

    def stopping(name: str, allowed: int) -> None:
        original = getattr(Bucket, name)

        def write(self: Bucket, *arguments: object) -> object:
            nonlocal writes
            writes += 1
            if writes > allowed:
                raise Stopped
            return original(self, *arguments)

        monkeypatch.setattr(Bucket, name, write)

    for allowed in range(200):
        writes = 0
        with monkeypatch.context():
            for name in ("put", "put_new", "replace", "delete"):
                stopping(name, allowed)
            try:
                sweep(bucket, erased, DEFAULT_RULES, NOW)
            except Stopped:
                pass
            else:
                break
            finally:
                monkeypatch.undo()
        if bucket.get(POINTER) != seen:
            seen = bucket.get(POINTER)
            for version in msgspec.json.decode(seen, type=Pointer).in_use:
                load(bucket, version)
    else:
        pytest.fail("it never finishes")
    assert list(stored_of(bucket, USER, DEFAULT_RULES, NOW)) == []


def load(bucket: Bucket, version: str) -> dict[str, pa.Table]:
    manifest = read_manifest(bucket.get(manifest_key(version)))
    assert manifest.version == version
    return dict(read_tables(bucket, folder_of(version).removesuffix("/"), manifest, lambda: False))


def test_a_model_is_replaced_by_one_that_loads_without_the_customer(bucket: Bucket) -> None:
    before = load(bucket, VERSION)
    sweep(bucket, erased_in(bucket, USER), DEFAULT_RULES, NOW)
    pointer, _etag = read_pointer(bucket)
    assert pointer is not None
    assert pointer.version == f"{VERSION}.e1"
    assert pointer.variants == (Variant("b", "other.e1", 0.1),)
    assert published_versions(bucket) == [f"{VERSION}.e1", "other.e1"]
    after = load(bucket, pointer.version)
    customers = before["known_purchases"]["user_id"].to_pylist()
    assert after["known_purchases"]["user_id"].to_pylist() == [each for each in customers if each != USER]
    assert after["item_factors"] == before["item_factors"]
    sweep(bucket, erased_in(bucket, OTHER), DEFAULT_RULES, NOW)
    assert published_versions(bucket) == [f"{VERSION}.e2", "other.e2"]


def test_a_model_that_would_know_nobody_stays_while_it_is_in_use(bucket: Bucket) -> None:
    everybody = map(str, load(bucket, VERSION)["known_purchases"]["user_id"].to_pylist())
    in_use = list(bucket.list("models/"))
    write_model(bucket, dataclasses.replace(checkerboard(), version="unused"))
    with pytest.raises(NothingLeft, match="train two new ones"):
        sweep(bucket, erased_in(bucket, *everybody), DEFAULT_RULES, NOW)
    assert list(bucket.list("models/")) == in_use
    assert msgspec.json.decode(bucket.get(POINTER), type=Pointer).version == VERSION


def test_two_sweeps_at_once_leave_a_model_that_loads(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another sweep, for one customer more, runs while the first one writes a file with customers."""
    fewer, more = erased_in(bucket, USER), erased_in(bucket, OTHER)
    put = Bucket.put

    def written(self: Bucket, key: str, body: bytes) -> None:
        monkeypatch.setattr(Bucket, "put", put)
        sweep(bucket, more, DEFAULT_RULES, NOW)
        put(self, key, body)

    def first_written(self: Bucket, key: str, body: bytes) -> None:
        (written if "/known_purchases/" in key else put)(self, key, body)

    monkeypatch.setattr(Bucket, "put", first_written)
    with pytest.raises(NoSuchObject):  # what it reads has a successor: the sweep is given again
        sweep(bucket, fewer, DEFAULT_RULES, NOW)
    pointer, _etag = read_pointer(bucket)
    assert pointer is not None
    for version in pointer.in_use:
        load(bucket, version)
    sweep(bucket, more, DEFAULT_RULES, NOW + 86_400_001)  # a folder that was given up is removed after a day
    assert list(stored_of(bucket, OTHER, DEFAULT_RULES, NOW)) == []


def test_a_version_that_is_made_live_while_it_is_replaced_is_named_by_its_successor(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer = bucket.get(POINTER)
    delete = Bucket.delete

    def deleted(self: Bucket, key: str) -> None:
        if key == manifest_key(VERSION):
            self.put(POINTER, pointer)
        delete(self, key)

    monkeypatch.setattr(Bucket, "delete", deleted)
    sweep(bucket, erased_in(bucket, USER), DEFAULT_RULES, NOW)
    found, _etag = read_pointer(bucket)
    assert found is not None
    assert found.version == f"{VERSION}.e1"


def test_a_claimed_folder_is_removed_a_day_after_its_claim() -> None:
    bucket = Bucket()
    version = "20200101T000000Z-000001.e1"
    bucket.put(f"{folder_of(version)}user_factors/a.parquet", parquet(user_id=[OTHER]))
    bucket.put(f"{folder_of(version)}claimed_ms", str(NOW).encode())
    erased = erased_in(bucket, USER)
    sweep(bucket, erased, DEFAULT_RULES, NOW + 86_400_000)
    assert len(list(bucket.list("models/"))) == 2
    sweep(bucket, erased, DEFAULT_RULES, NOW + 86_400_001)
    assert list(bucket.list("models/")) == []


def test_an_abandoned_folder_is_removed_after_a_day() -> None:
    bucket = Bucket()
    old, new = "20200101T000000Z-000001", "20990101T000000Z-000001"
    for version in (old, new):
        bucket.put(f"{folder_of(version)}user_factors/a.parquet", parquet(user_id=[USER]))
    sweep(bucket, erased_in(bucket, USER), DEFAULT_RULES, NOW)
    assert [key for key, _size in bucket.list("models/")] == [f"{folder_of(new)}user_factors/a.parquet"]


def test_the_list_holds_no_id_and_grows_by_each_customer_once() -> None:
    bucket = Bucket()
    assert read_erased(bucket) is None
    digest = digest_in(bucket, "customer-17")
    assert read_erased(bucket) is None
    assert add_erased(bucket, "customer-17", NOW) == digest
    stored = bucket.get(KEY)
    assert add_erased(bucket, "customer-17", NOW + 5_000) == digest
    assert bucket.get(KEY) == stored
    assert b"customer-17" not in stored
    add_erased(bucket, "customer-18", NOW)
    erased = read_erased(bucket)
    assert erased is not None
    assert [user in erased for user in ("customer-17", "customer-18", "customer-19")] == [True, True, False]
    assert len(erased) == 2


def test_a_damaged_list_is_never_replaced() -> None:
    bucket = Bucket()
    bucket.put(KEY, b"{")
    with pytest.raises(BadErasureList, match="restore it"):
        add_erased(bucket, USER, NOW)
    assert bucket.get(KEY) == b"{"
