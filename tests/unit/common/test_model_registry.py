"""Who may move the pointer, what it keeps, and which versions may go."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from services.common import audit
from services.common.conditional_write import Contended
from services.common.model_pointer import ChangeAuthor, InvalidVariants, Pointer, Variant
from services.common.model_registry import (
    POINTER,
    NothingBefore,
    RefusedByGate,
    UnknownVersion,
    activate,
    prune,
    publish,
    published_versions,
    read_pointer,
    rollback,
    start_variant,
    stop_variant,
)
from tests.support.bucket import Bucket

NOW_MS = 1_700_000_000_123
BY_HAND = ChangeAuthor("ann", "", NOW_MS)
WITH_NOTE = ChangeAuthor("ann", "the week of the sale is over", NOW_MS)


def shop(*versions: str, **manifests: dict[str, Any]) -> Bucket:
    """A bucket with these versions."""
    bucket = Bucket()
    for version in (*versions, *manifests):
        manifest = {"version": version, **manifests.get(version, {})}
        bucket.objects[f"models/als/{version}/catalogue/part-0.parquet"] = b"facts"
        bucket.objects[f"models/als/{version}/manifest.json"] = json.dumps(manifest).encode()
    return bucket


def live(bucket: Bucket) -> Pointer:
    pointer, _etag = read_pointer(bucket)
    assert pointer is not None
    return pointer


REFUSED = {"gate": {"verdict": "refused", "reason": "Known customers got nothing."}}


def test_the_first_version_creates_the_pointer() -> None:
    bucket = shop("v1")
    assert publish(bucket, "v1", ChangeAuthor("job", "", NOW_MS))
    assert json.loads(bucket.objects[POINTER]) == {
        "version": "v1",
        "activated_at": "2023-11-14T22:13:20Z",
        "activated_by": "job",
        "note": "",
        "variants": [],
        "previous": None,
    }


def test_a_run_that_was_overtaken_does_not_serve() -> None:
    bucket = shop("v1", "v2")
    activate(bucket, "v2", BY_HAND)
    assert not publish(bucket, "v1", BY_HAND)
    assert live(bucket).version == "v2"


def test_back_and_forth() -> None:
    bucket = shop("v1", "v2", "v3")
    for version in ("v1", "v2", "v3"):
        activate(bucket, version, BY_HAND)
    assert (live(bucket).version, live(bucket).previous) == ("v3", "v2")
    assert rollback(bucket, WITH_NOTE).version == "v2"
    assert (live(bucket).previous, live(bucket).note) == ("v3", WITH_NOTE.note)
    assert rollback(bucket, BY_HAND).version == "v3", "back from a roll back is forward"


def test_nothing_served_before_the_first() -> None:
    bucket = shop("v1")
    with pytest.raises(NothingBefore):
        rollback(bucket, BY_HAND)
    activate(bucket, "v1", BY_HAND)
    with pytest.raises(NothingBefore):
        rollback(bucket, BY_HAND)


def test_to_activate_what_is_live_changes_nothing() -> None:
    bucket = shop("v1", "v2")
    activate(bucket, "v1", BY_HAND)
    before = activate(bucket, "v2", BY_HAND)
    assert activate(bucket, "v2", WITH_NOTE) == before


def test_an_unknown_version_is_refused() -> None:
    bucket = shop("v1")
    with pytest.raises(UnknownVersion, match="'v9'"):
        activate(bucket, "v9", BY_HAND)
    with pytest.raises(UnknownVersion):
        start_variant(bucket, Variant("b", "v9", 0.1), BY_HAND)
    assert POINTER not in bucket.objects


def test_a_version_rolled_back_to_must_be_there() -> None:
    bucket = shop("v1", "v2")
    activate(bucket, "v1", BY_HAND)
    activate(bucket, "v2", BY_HAND)
    del bucket.objects["models/als/v1/manifest.json"]
    with pytest.raises(UnknownVersion):
        rollback(bucket, BY_HAND)
    assert live(bucket).version == "v2"


def test_what_the_gate_refused_needs_a_note() -> None:
    bucket = shop("v1", v2=REFUSED)
    activate(bucket, "v1", BY_HAND)
    for note in ("", "  "):
        with pytest.raises(RefusedByGate, match="customers got nothing"):
            activate(bucket, "v2", ChangeAuthor("ann", note, NOW_MS))
    with pytest.raises(RefusedByGate):
        start_variant(bucket, Variant("b", "v2", 0.1), BY_HAND)
    assert live(bucket).version == "v1"
    assert activate(bucket, "v2", WITH_NOTE).note == WITH_NOTE.note


def test_variants_go_on_beside_a_new_version() -> None:
    bucket = shop("v1", "v2", "v3")
    activate(bucket, "v1", BY_HAND)
    start_variant(bucket, Variant("new", "v2", 0.1), BY_HAND)
    start_variant(bucket, Variant("new", "v2", 0.3), BY_HAND)
    assert live(bucket).variants == (Variant("new", "v2", 0.3),)
    activate(bucket, "v3", BY_HAND)
    assert live(bucket).variants == (Variant("new", "v2", 0.3),)
    activate(bucket, "v2", BY_HAND)
    assert live(bucket).variants == (), "what serves everybody is no variant"


def test_a_variant_is_stopped_by_its_name() -> None:
    bucket = shop("v1", "v2")
    activate(bucket, "v1", BY_HAND)
    start_variant(bucket, Variant("new", "v2", 0.1), BY_HAND)
    with pytest.raises(InvalidVariants, match="'old'"):
        stop_variant(bucket, "old", BY_HAND)
    assert stop_variant(bucket, "new", BY_HAND).variants == ()


@pytest.mark.parametrize(("name", "weight"), [("new", 0.0), ("new", -0.1), ("new", 0.5), ("main", 0.1), ("", 0.1)])
def test_a_variant_leaves_something_to_the_live_version(name: str, weight: float) -> None:
    bucket = shop("v1", "v2")
    activate(bucket, "v1", BY_HAND)
    start_variant(bucket, Variant("other", "v2", 0.5), BY_HAND)
    with pytest.raises(InvalidVariants):
        start_variant(bucket, Variant(name, "v2", weight), BY_HAND)


def test_a_name_that_the_recommender_would_refuse_is_refused_here() -> None:
    bucket = shop("v1", "v2")
    activate(bucket, "v1", BY_HAND)
    assert start_variant(bucket, Variant("n" * 64, "v2", 0.1), BY_HAND).variants
    with pytest.raises(InvalidVariants, match="at most 64 characters"):
        start_variant(bucket, Variant("n" * 65, "v2", 0.1), BY_HAND)


def test_a_variant_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidVariants, match="activate a version first"):
        start_variant(shop("v1"), Variant("new", "v1", 0.1), BY_HAND)


def test_a_pointer_that_changed_meanwhile_is_read_again() -> None:
    bucket = shop("v1", "v2", "v3")
    activate(bucket, "v1", BY_HAND)
    bucket.rivals = [json.dumps({"version": "v2"}).encode()]
    activate(bucket, "v3", BY_HAND)
    assert (live(bucket).version, live(bucket).previous) == ("v3", "v2")


def test_endless_contention_is_said() -> None:
    bucket = shop("v1", "v2")
    activate(bucket, "v1", BY_HAND)
    bucket.rivals = [json.dumps({"version": "v1", "note": str(number)}).encode() for number in range(20)]
    with pytest.raises(Contended):
        activate(bucket, "v2", BY_HAND)


@pytest.mark.parametrize("before", [None, b'{"version": "v1"}'])
def test_a_write_whose_answer_was_lost_is_ours(before: bytes | None) -> None:
    bucket = shop("v1", "v2")
    if before is not None:
        bucket.objects[POINTER] = before
    bucket.answers_lost = True
    assert activate(bucket, "v2", BY_HAND).version == "v2"
    assert live(bucket).version == "v2"


@pytest.mark.parametrize("damaged", [b"", b"{", b"\xff", b"null", b"[]", b"{}", b'{"version": 3}'])
def test_a_damaged_pointer_is_replaced_and_protects_all_versions(damaged: bytes) -> None:
    bucket = shop("v1", "v2")
    bucket.objects[POINTER] = damaged
    assert prune(bucket, keep=1) == []
    assert activate(bucket, "v1", BY_HAND).version == "v1"


def test_old_versions_go_but_none_that_is_needed() -> None:
    bucket = shop(*(f"v{number}" for number in range(1, 8)))
    bucket.objects["models/als/v0/catalogue/part-0.parquet"] = b"of a run that was killed"
    activate(bucket, "v2", BY_HAND)
    activate(bucket, "v3", BY_HAND)
    start_variant(bucket, Variant("new", "v4", 0.1), BY_HAND)
    assert prune(bucket, keep=2) == ["v0", "v1", "v5"]
    assert published_versions(bucket) == ["v2", "v3", "v4", "v6", "v7"]
    assert not [key for key in bucket.objects if key.startswith(("models/als/v0/", "models/als/v1/"))]
    assert prune(bucket, keep=2) == []


class Meanwhile(Bucket):
    """A bucket in which something happens just before the next write or removal of a key."""

    def __init__(self, of: Bucket, key: str, happens: Callable[[Bucket], object]) -> None:
        super().__init__()
        self.objects = of.objects
        self._key: str | None = key
        self._happens = happens

    def replace(self, key: str, body: bytes, etag: str) -> None:
        self._before(key)
        super().replace(key, body, etag)

    def put_new(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        self._before(key)
        super().put_new(key, body, metadata)

    def delete(self, key: str) -> None:
        self._before(key)
        super().delete(key)

    def _before(self, key: str) -> None:
        if key == self._key:
            self._key = None
            self._happens(self)


@pytest.mark.parametrize("chosen", ["v1", "v2"])
def test_what_is_made_live_while_old_versions_go_stays(chosen: str) -> None:
    bucket = shop("v1", "v2", "v3", "v4")
    activate(bucket, "v4", BY_HAND)
    watched = Meanwhile(bucket, "models/als/v1/manifest.json", lambda store: activate(store, chosen, BY_HAND))
    gone = {"v1", "v2", "v3"} - {chosen}
    assert prune(watched, keep=1) == sorted(gone)
    assert live(bucket).version == chosen
    assert published_versions(bucket) == sorted({chosen, "v4"})


@pytest.mark.parametrize("before", ["v2", None])
def test_a_version_that_goes_while_it_is_made_live_is_not_served(before: str | None) -> None:
    bucket = shop("v1", "v2", "v3")
    if before:
        activate(bucket, before, BY_HAND)
    watched = Meanwhile(bucket, POINTER, lambda store: store.delete("models/als/v1/manifest.json"))
    with pytest.raises(UnknownVersion):
        activate(watched, "v1", BY_HAND)
    pointer, _etag = read_pointer(bucket)
    assert (pointer.version if pointer else None) == before


def test_a_variant_that_goes_while_its_trial_starts_is_not_tried() -> None:
    bucket = shop("v1", "v2")
    activate(bucket, "v2", BY_HAND)
    watched = Meanwhile(bucket, POINTER, lambda store: store.delete("models/als/v1/manifest.json"))
    with pytest.raises(UnknownVersion):
        start_variant(watched, Variant("old", "v1", 0.1), BY_HAND)
    assert live(bucket).variants == ()


def test_a_name_that_no_pointer_may_hold_is_not_activated() -> None:
    bucket = shop("a b")
    with pytest.raises(UnknownVersion):
        activate(bucket, "a b", BY_HAND)
    assert POINTER not in bucket.objects


def test_each_move_by_a_person_is_noted_in_the_audit_log() -> None:
    bucket = shop("v1", "v2", "v3")
    activate(bucket, "v1", BY_HAND)
    activate(bucket, "v2", WITH_NOTE)
    rollback(bucket, BY_HAND)
    start_variant(bucket, Variant("new", "v2", 0.1), BY_HAND)
    stop_variant(bucket, "new", BY_HAND)
    publish(bucket, "v3", ChangeAuthor("job", "", NOW_MS))
    noted = sorted((each.action.value, each.subject, each.by, each.detail) for each in audit.entries(bucket))
    assert noted == [
        ("model.activate", "v1", "ann", ""),
        ("model.activate", "v2", "ann", WITH_NOTE.note),
        ("model.rollback", "v1", "ann", ""),
        ("model.variant", "v2", "ann", ""),
        ("model.variant", "without new", "ann", ""),
    ]
