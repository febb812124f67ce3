"""Which rows a run sends, and the checkpoint it goes by."""

import json
from pathlib import Path

import msgspec
import pytest

from services.producer.checkpoint import BadCheckpoint, Checkpoint, CheckpointFile
from services.producer.plan import Found, Plan, RowRange, make_plan
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
    rows_digest: str = "",
    ends: dict[int, int] | None = None,
    restart: bool = False,
) -> Plan:
    found = Found(checkpoint(), ends or {0: 500}, fingerprint, rows_digest)
    return make_plan(stored, found, RowRange.parse(row_range).rows(total), restart=restart)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (":", (1, 1001)),
        ("1:1001", (1, 1001)),
        ("5:", (5, 1001)),
        (":90%", (1, 901)),
        ("90%:", (901, 1001)),
        ("0%:90%", (1, 901)),
        ("10%:20%", (101, 201)),
        (":100%", (1, 1001)),
        ("50%:50%", (501, 501)),
        ("990:2000", (990, 1001)),
        ("2000:", (1001, 1001)),
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
    assert (first.checkpoint.next_row, first.end, first.notes, first.nothing_to_do) == (1, 1001, [], False)


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


def test_restart_of_a_later_range_begins_there() -> None:
    again = plan(checkpoint(901), "50%:", restart=True)
    assert (again.checkpoint.first_row, again.checkpoint.next_row) == (501, 501)


def test_rows_may_be_sent_in_any_order() -> None:
    later = plan(None, "90%:")
    assert (later.checkpoint.first_row, later.checkpoint.next_row, later.notes) == (901, 901, [])
    later.checkpoint.next_row = 1001
    earlier = plan(later.checkpoint, ":90%")
    assert (earlier.checkpoint.first_row, earlier.checkpoint.next_row) == (1, 1)
    assert not earlier.nothing_to_do


def test_history_then_stream_is_one_run() -> None:
    stream = plan(checkpoint(901, sent=900), "90%:")
    assert (stream.checkpoint.first_row, stream.checkpoint.next_row, stream.checkpoint.sent) == (1, 901, 900)


def test_another_file_under_the_name_is_sent_from_its_first_row() -> None:
    for other in (
        plan(checkpoint(301), fingerprint=FileFingerprint(100, "bb")),
        plan(checkpoint(301, rows_digest="aa"), rows_digest="bb"),
    ):
        assert other.checkpoint.next_row == 1
        assert "another file" in other.notes[0]
    assert plan(checkpoint(301, rows_digest="aa"), rows_digest="aa").checkpoint.next_row == 301


def test_rows_sent_under_ids_of_file_and_row_are_not_sent_again() -> None:
    upgraded = checkpoint(301, sent=300, sent_under_old_ids=301)
    assert (plan(upgraded).checkpoint.next_row, plan(upgraded).notes) == (301, [])
    for again in (plan(upgraded, restart=True), plan(checkpoint(901, first_row=900, sent_under_old_ids=301))):
        assert again.checkpoint.next_row == 301
        assert "rows 1 to 300 are not sent again" in again.notes[0]


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
    written = checkpoint(301, sent=3, dead_letters={"bad_time": 1}, first_row=2, rows_digest="aa", offsets={2: 17})
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
    file.write(checkpoint(format=3))
    with pytest.raises(BadCheckpoint, match="format 3"):
        file.read()


def test_a_checkpoint_of_the_format_before_is_read(tmp_path: Path) -> None:
    """Its rows went out under ids of file and row, which later ids do not match."""
    written = (
        b'{"format": 1, "source": "kz.csv", "head": {"length": 100, "sha256": "aa"}, "cluster": "c1",'
        b' "topic": "purchases", "next_row": 301, "sent": 3, "dead_letters": {"bad_time": 1}, "passed_over": [],'
        b' "offsets": {"2": 17}}'
    )
    file = CheckpointFile(tmp_path, "kz.csv")
    file.path.write_bytes(written)
    read = file.read()
    assert read is not None
    assert (read.fingerprint, read.next_row, read.offsets) == (FINGERPRINT, 301, {2: 17})
    assert (read.format, read.sent_under_old_ids) == (2, 301)
    file.write(read)
    assert file.read() == read


def test_a_checkpoint_on_disk_keeps_its_json_names(tmp_path: Path) -> None:
    written = (
        b'{"format": 2, "source": "kz.csv", "head": {"length": 100, "sha256": "aa"}, "cluster": "c1",'
        b' "topic": "purchases", "first_row": 1, "next_row": 301, "rows_digest": "ab", "sent": 3,'
        b' "dead_letters": {"bad_time": 1}, "sent_under_old_ids": 1, "offsets": {"2": 17}}'
    )
    file = CheckpointFile(tmp_path, "kz.csv")
    file.path.write_bytes(written)
    read = file.read()
    assert read is not None
    file.write(read)
    assert json.loads(file.path.read_bytes()) == json.loads(written)
