"""A written model is looked at by the code that serves, before its manifest is there."""

from dataclasses import replace
from typing import cast

from recsys.answers import Answer, Pick, Reason, ReasonCode, Strategy
from recsys.evaluation.gate import ModelCheck
from recsys.model_format import read_manifest
from services.common.object_store import ObjectStore
from spark import model_checks
from spark.model_checks import fault_of
from tests.support.models import MODELS, VERSION, ModelSpec, Objects, checkerboard, model_files

SOLD = [f"p{number:02d}" for number in range(8)]
CUSTOMERS = [f"u{number:02d}" for number in range(8)]


def looked_at(spec: ModelSpec, sold: list[str] = SOLD, **damage: bytes) -> list[ModelCheck]:
    """The checks of a folder that has no manifest yet; `damage` replaces the first file of a table."""
    files = model_files(spec)
    manifest = read_manifest(files.pop("manifest.json"))
    store = Objects()
    for path, body in files.items():
        table, _, name = path.partition("/")
        store.put(f"{MODELS}/{VERSION}/{path}", damage.get(table, body) if name == "part-00000.parquet" else body)
    return model_checks.checks(cast(ObjectStore, store), manifest, sold, CUSTOMERS, 1_588_000_000_000)


def failing(found: list[ModelCheck]) -> list[str]:
    return [check.detail for check in found if not check.passed]


def test_a_good_model_passes_every_check() -> None:
    found = looked_at(checkerboard())
    assert [check.name for check in found] == [
        "serving can load it",
        "the catalogue covers the last week",
        "known customers get answers",
    ]
    assert failing(found) == []


def test_a_damaged_file_is_what_serving_would_refuse() -> None:
    (check,) = looked_at(checkerboard(), item_factors=b"PAR1 no more")
    assert not check.passed
    assert "item_factors/part-00000.parquet" in check.detail


def test_factors_that_are_no_numbers_are_refused() -> None:
    spec = checkerboard()
    broken = replace(spec, item_factors={**spec.item_factors, "p00": [float("nan"), 0.0]})
    (check,) = looked_at(broken)
    assert "a factor is not a number" in check.detail


def test_a_catalogue_that_lacks_what_was_sold_is_refused() -> None:
    gone = [f"gone-{number}" for number in range(100)]
    assert failing(looked_at(checkerboard(), sold=SOLD + gone[:1])) == [
        "the catalogue knows 8 of the 9 products sold in the last week"
    ]
    many = [*SOLD * 12, *gone[:5]]
    assert failing(looked_at(checkerboard(), sold=many)) == [], "95 % are enough"


def test_who_has_bought_all_there_is_gets_nothing_and_that_is_no_fault() -> None:
    spec = checkerboard()
    everything = replace(spec, purchases={**spec.purchases, "u00": dict.fromkeys(spec.catalogue, 1)})
    assert failing(looked_at(everything)) == []


def answer(*picks: tuple[int, float]) -> Answer:
    reason = Reason(ReasonCode.POPULAR, 1.0)
    return Answer(Strategy.PERSONAL, tuple(Pick(product, score, reason) for product, score in picks))


def test_what_is_wrong_with_an_answer() -> None:
    assert fault_of(answer((1, 0.5), (2, 0.4)), left=True) is None
    assert fault_of(answer(), left=False) is None
    assert fault_of(answer(), left=True) == "nothing"
    assert fault_of(answer((1, 0.5), (1, 0.4)), left=True) == "a product twice"
    assert fault_of(answer((1, 0.5), (2, float("nan"))), left=True) == "a score that is not a number"
