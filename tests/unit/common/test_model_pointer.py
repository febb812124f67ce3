"""What a pointer may say: its names, versions and weights, and pointers that were written before."""

import msgspec
import pytest

from services.common.model_pointer import ChangeAuthor, Pointer, Variant, activated, fault_of

WRITTEN = b"""{
  "version": "20261102T000000Z-bbbbbb",
  "activated_at": "2026-11-02T03:15:00Z",
  "activated_by": "job",
  "note": "It does best.",
  "variants": [{"name": "new", "version": "20261103T000000Z-cccccc", "weight": 0.1}],
  "previous": "20261101T000000Z-aaaaaa"
}"""


def test_a_pointer_on_disk_is_read_whole() -> None:
    assert msgspec.json.decode(WRITTEN, type=Pointer) == Pointer(
        "20261102T000000Z-bbbbbb",
        "2026-11-02T03:15:00Z",
        "job",
        "It does best.",
        (Variant("new", "20261103T000000Z-cccccc", 0.1),),
        "20261101T000000Z-aaaaaa",
    )
    assert msgspec.json.decode(b'{"version": "v1", "of_later": 1}', type=Pointer) == Pointer("v1")


def test_what_is_written_can_be_read() -> None:
    pointer = activated(Pointer("v1", variants=(Variant("new", "v2", 0.5),)), "v3", ChangeAuthor("ann", "", 0))
    assert msgspec.json.decode(msgspec.json.encode(pointer), type=Pointer) == pointer


@pytest.mark.parametrize("weights", [[0.0], [-0.1], [float("nan")], [0.5, 0.5], [1.2]])
def test_weights_must_leave_something_for_the_main_model(weights: list[float]) -> None:
    variants = [Variant(f"n{number}", "v", weight) for number, weight in enumerate(weights)]
    with pytest.raises(ValueError, match="weights of variants"):
        Pointer("v", variants=tuple(variants))
    assert fault_of([Variant("a", "v", 0.5), Variant("b", "v", 0.4)]) is None


@pytest.mark.parametrize(
    "pointer",
    [
        b'{"version": ""}',
        b'{"version": "../secret"}',
        b'{"version": "v", "variants": [{"name": "", "version": "v", "weight": 0.1}]}',
        b'{"version": "v", "variants": [{"name": "a/b", "version": "a/b", "weight": 0.1}]}',
        b'{"version": "v", "variants": [{"name": "main", "version": "v", "weight": 0.1}]}',
        b'{"version": "v", "variants": [{"name": "a", "version": "v", "weight": 1.0}]}',
    ],
)
def test_a_pointer_that_nothing_can_serve_under_is_invalid(pointer: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(pointer, type=Pointer)
