"""The fault suite can fail: a planted loss, a planted doubling, one cent off and a hole in the archive are found."""

import json
from copy import deepcopy
from pathlib import Path

import pytest

from local.reference import ReferenceFigures, Sections
from tests.faults.compare import ArchivedLines, RecordPosition, Toll, toll_of_archive, toll_of_figures
from tests.faults.results import TrialResult, append, read, table
from tests.support.shop import seed_rows, write_csv

TOPIC: dict[RecordPosition, object] = {
    (partition, offset): {"partition": partition, "offset": offset, "timestamp": 7, "value": {"n": offset}}
    for partition in range(2)
    for offset in range(3)
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Sections:
    file = write_csv(tmp_path_factory.mktemp("reference") / "shop.csv", seed_rows(1, 400))
    computed = ReferenceFigures([file])
    try:
        return computed.sections()
    finally:
        computed.close()


@pytest.fixture
def found(reference: Sections) -> Sections:
    return deepcopy(reference)


def change(sections: Sections, hour: int, quantity: int, revenue: int) -> None:
    """Add to one hour and to the totals, as an event that is lost or doubled would."""
    hours = sections["sales by hour"]
    bucket = sorted({name.rpartition(" ")[0] for name in hours})[hour]
    for section, name in ((hours, f"{bucket} "), (sections["totals"], "")):
        for figure, by in (("quantity", quantity), ("revenue", revenue)):
            value = section[f"{name}{figure}"]
            assert isinstance(value, int)
            section[f"{name}{figure}"] = value + by
    events = sections["totals"]["events"]
    assert isinstance(events, int)
    sections["totals"]["events"] = events + quantity


def test_nothing_is_found_where_nothing_differs(reference: Sections, found: Sections) -> None:
    assert toll_of_figures(reference, found, "live") == Toll()
    assert toll_of_figures(reference, found, "live").exact


def test_in_these_files_an_event_is_one_piece(reference: Sections) -> None:
    """Else pieces would not count events hour by hour."""
    assert reference["totals"]["events"] == reference["totals"]["quantity"]


def test_a_planted_loss_is_found(reference: Sections, found: Sections) -> None:
    change(found, 3, -1, -999)
    toll = toll_of_figures(reference, found, "live")
    assert (toll.lost, toll.doubled, toll.cents_off) == (1, 0, 999)
    assert any("sales by hour" in difference for difference in toll.differences)


def test_a_planted_doubling_is_found(reference: Sections, found: Sections) -> None:
    change(found, 3, 1, 999)
    toll = toll_of_figures(reference, found, "live")
    assert (toll.lost, toll.doubled, toll.cents_off) == (0, 1, 999)


def test_a_loss_and_a_doubling_do_not_make_up_for_each_other(reference: Sections, found: Sections) -> None:
    change(found, 3, -1, -999)
    change(found, 5, 1, 999)
    toll = toll_of_figures(reference, found, "live")
    assert (toll.lost, toll.doubled, toll.cents_off) == (1, 1, 1998)


def test_one_cent_off_is_found(reference: Sections, found: Sections) -> None:
    change(found, 0, 0, 1)
    toll = toll_of_figures(reference, found, "live")
    assert (toll.lost, toll.doubled, toll.cents_off) == (0, 0, 1)
    assert not toll.exact


def test_a_dead_letter_too_few_is_a_loss_and_one_too_many_a_doubling(reference: Sections, found: Sections) -> None:
    letters = reference["totals"]["dead_letters"]
    assert isinstance(letters, int)
    found["totals"]["dead_letters"] = letters - 1
    assert toll_of_figures(reference, found, "live").lost == 1
    found["totals"]["dead_letters"] = letters + 1
    assert toll_of_figures(reference, found, "live").doubled == 1


def test_a_difference_that_is_in_no_hour_is_found(reference: Sections, found: Sections) -> None:
    found["top brands"]["1. id"] = "another"
    toll = toll_of_figures(reference, found, "live")
    assert not toll.exact
    assert toll.differences == [
        f"live: top brands: 1. id: {reference['top brands']['1. id']} expected, another found",
    ]


def archive() -> ArchivedLines:
    return {"a": [TOPIC[0, 0], TOPIC[0, 1]], "b": [TOPIC[0, 2]], "c": [TOPIC[1, offset] for offset in range(3)]}


def test_a_whole_archive_is_exact() -> None:
    assert toll_of_archive(TOPIC, archive()).exact


def test_a_hole_in_the_archive_is_found() -> None:
    toll = toll_of_archive(TOPIC, {**archive(), "b": []})
    assert (toll.lost, toll.doubled) == (1, 0)
    assert toll.differences == ["archive: 1 records are not archived, first (0, 2)"]


def test_a_record_archived_twice_is_found() -> None:
    toll = toll_of_archive(TOPIC, {**archive(), "d": [TOPIC[1, 2]]})
    assert (toll.lost, toll.doubled) == (0, 1)


def test_an_archived_record_that_is_another_is_found() -> None:
    toll = toll_of_archive(TOPIC, {**archive(), "b": [{**archive()["b"][0], "timestamp": 8}]})
    assert not toll.exact


def test_an_archived_record_that_no_topic_has_is_found() -> None:
    stranger = {"partition": 5, "offset": 0, "timestamp": 7, "value": None}
    assert not toll_of_archive(TOPIC, {**archive(), "z": [stranger]}).exact


def result(seed: int, *faults: str, lost: int = 0, recovery_s: float | None = 1.0) -> TrialResult:
    return TrialResult(seed, 1, 1000, [*faults], lost, 0, 0, recovery_s, 9.0, "exact" if not lost else "differs", "s")


def test_the_table_has_a_line_for_each_kind_and_one_for_combinations(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    for each in (
        result(1, "kill Redis", recovery_s=1.0),
        result(2, "kill Redis", lost=3, recovery_s=None),
        result(3, "kill Redis", recovery_s=4.0),
        result(4, "kill S3", "kill Redis", recovery_s=9.0),
    ):
        append(file, each)
    assert table(read(file)).splitlines()[2:] == [
        "| kill Redis | 3 | 1 | 1 | 3 | 0 | 0 | 2.5 | 4.0 |",
        "| kill S3 | 0 | 1 | 0 | 0 | 0 | 0 |  |  |",
        "| two or three of these at once | 1 |  | 0 | 0 | 0 | 0 | 9.0 | 9.0 |",
        "| all | 4 |  | 1 | 3 | 0 | 0 | 4.0 | 9.0 |",
    ]


def test_results_keep_their_json_names(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append(file, result(1, "kill Redis"))
    assert json.loads(file.read_text())["injuries"] == ["kill Redis"]
    assert read(file) == [result(1, "kill Redis")]
