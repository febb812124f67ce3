"""Which rows a run sends, and the checkpoint it goes by."""

import json
from pathlib import Path

import msgspec
import pytest

from services.producer.checkpoint import BadCheckpoint, Checkpoint, CheckpointFile
from services.producer.plan import CheckpointMismatch, Plan, RowRange, make_plan
from services.producer.source import FileFingerprint

FINGERPRINT = FileFingerprint(100, "aa")


def checkpoint(next_row: int = 1, **more: object) -> Checkpoint:
    fields = {
        "source": "kz.csv",
        "head": FINGERPRINT,
        "cluster": "c1",
        "topic": "purchases",
        "next_row": next_row,
    } | more
    return msgspec.convert(fields, Checkpoint)


def plan(
    stored: Checkpoint | None,
    row_range: str = ":",
    *,
    total: int = 1000,
    fingerprint: FileFingerprint | None = FINGERPRINT,
    ends: dict[int, int] | None = None,
    restart: bool = False,
) -> Plan:
    return make_plan(
        stored,
        checkpoint(),
        current=fingerprint if stored else None,
        log_ends=ends or {0: 500},
        rows=RowRange.parse(row_range).rows(total),
        restart=restart,
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (":", (1, None)),
        ("1:1001", (1, 1001)),
        ("5:", (5, None)),
        (":90%", (1, 901)),
        ("90%:", (901, None)),
        ("0%:90%", (1, 901)),
        ("10%:20%", (101, 201)),
        (":100%", (1, None)),
        ("50%:50%", (501, 501)),
    ],
)
def test_row_ranges(text: str, rows: tuple[int, int | None]) -> None:
    assert RowRange.parse(text).rows(1000) == rows


@pytest.mark.parametrize("total", [0, 1, 7, 999, 2_410_546])
def test_history_and_stream_meet_without_gap_or_overlap(total: int) -> None:
    _, end = RowRange.parse(":90%").rows(total)
    assert end == RowRange.parse("90%:").rows(total)[0]


@pytest.mark.parametrize("text", ["", "1", "1:2:3", "0:5", "9:3", "a:b", "-1:5", "101%:", ":101%", "90%:10%", "1.5:"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"range of rows|numbered from 1|at most 100%|ends before"):
        RowRange.parse(text)


def test_the_first_run_begins_at_row_one() -> None:
    first = plan(None)
    assert (first.checkpoint.next_row, first.end, first.notes, first.nothing_to_do) == (1, None, [], False)


def test_a_run_goes_on_after_the_checkpoint() -> None:
    stored = checkpoint(301, sent=290, dead_letters={"bad_time": 10}, offsets={0: 289})
    resumed = plan(stored)
    assert resumed.checkpoint == stored
    assert not resumed.notes


def test_a_finished_range_leaves_nothing_to_do() -> None:
    assert plan(checkpoint(901), ":90%").nothing_to_do
    assert not plan(checkpoint(900), ":90%").nothing_to_do


def test_restart_sends_again_and_counts_anew() -> None:
    again = plan(checkpoint(901, sent=900), restart=True)
    assert (again.checkpoint.next_row, again.checkpoint.sent, again.notes) == (1, 0, [])


def test_restart_of_a_later_range_passes_nothing_over() -> None:
    again = plan(checkpoint(901), "50%:", restart=True)
    assert (again.checkpoint.next_row, again.checkpoint.passed_over) == (501, [])


def test_rows_that_are_passed_over_are_named_and_remembered() -> None:
    """Later rows make the aggregator take them for repeats, so sending them afterwards would lose them silently."""
    later = plan(None, "90%:")
    assert later.checkpoint.next_row == 901
    assert later.checkpoint.passed_over == [(1, 901)]
    assert "rows 1 to 900 are passed over" in later.notes[0]
    for restart in (False, True):
        earlier = plan(later.checkpoint, ":90%", restart=restart)
        assert "taken for repeats" in earlier.notes[0]
        assert earlier.nothing_to_do is not restart


def test_history_then_stream_is_no_gap() -> None:
    assert plan(checkpoint(901), "90%:").notes == []


def test_another_file_under_the_name_is_refused() -> None:
    with pytest.raises(CheckpointMismatch, match="--source NAME"):
        plan(checkpoint(301), fingerprint=FileFingerprint(100, "bb"))
    assert (
        "the file has changed" in plan(checkpoint(301), fingerprint=FileFingerprint(100, "bb"), restart=True).notes[0]
    )


@pytest.mark.parametrize(
    ("stored", "note"),
    [
        (checkpoint(301, cluster="c2"), "another Kafka"),
        (checkpoint(301, topic="other"), "another Kafka"),
        (checkpoint(301, offsets={0: 499, 1: 0}), "ends before what was acknowledged"),
        (checkpoint(301, offsets={0: 500}), "ends before what was acknowledged"),
    ],
)
def test_a_checkpoint_of_another_log_is_ignored(stored: Checkpoint, note: str) -> None:
    again = plan(stored)
    assert again.checkpoint.next_row == 1
    assert note in again.notes[0]


def test_a_checkpoint_is_written_whole_and_read_back(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "state", "kz.csv")
    assert file.read() is None
    written = checkpoint(301, sent=3, dead_letters={"bad_time": 1}, passed_over=[(1, 5)], offsets={2: 17})
    file.write(written)
    assert file.read() == written
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["kz.csv.json"]


@pytest.mark.parametrize(
    "names", [("a/b", "a_b"), ("../x", "x"), (".hidden", "hidden"), ("Käse", "K_se"), ("x" * 100, "x" * 99)]
)
def test_sources_never_share_a_checkpoint(tmp_path: Path, names: tuple[str, str]) -> None:
    one, other = (CheckpointFile(tmp_path, name).path for name in names)
    assert one != other
    assert one.parent == other.parent == tmp_path


@pytest.mark.parametrize(("content", "message"), [(b"{", "damaged"), (b'{"format": 1}', "damaged")])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    file = CheckpointFile(tmp_path, "kz.csv")
    file.path.write_bytes(content)
    with pytest.raises(BadCheckpoint, match=message):
        file.read()


def test_a_checkpoint_of_a_later_format_is_told(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path, "kz.csv")
    file.write(checkpoint(format=2))
    with pytest.raises(BadCheckpoint, match="format 2"):
        file.read()


def test_a_checkpoint_on_disk_keeps_its_json_names(tmp_path: Path) -> None:
    written = (
        b'{"format": 1, "source": "kz.csv", "head": {"length": 100, "sha256": "aa"}, "cluster": "c1",'
        b' "topic": "purchases", "next_row": 301, "sent": 3, "dead_letters": {"bad_time": 1}, "passed_over": [[1, 5]],'
        b' "offsets": {"2": 17}}'
    )
    file = CheckpointFile(tmp_path, "kz.csv")
    file.path.write_bytes(written)
    read = file.read()
    assert read is not None
    assert (read.fingerprint, read.next_row, read.offsets) == (FINGERPRINT, 301, {2: 17})
    file.write(read)
    assert json.loads(file.path.read_bytes()) == json.loads(written)
