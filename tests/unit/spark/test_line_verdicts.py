"""Which records count: the first of each line, by the stream's own rule."""

from typing import Any

import pyarrow as pa

from spark.line_verdicts import Judged, judge

KINDS: dict[str, pa.DataType] = {
    "partition": pa.int32(),
    "offset": pa.int64(),
    "timestamp": pa.int64(),
    "line_group": pa.string(),
    "token": pa.int64(),
    "replay_token": pa.int64(),
    "order_digest": pa.string(),
    "reason": pa.string(),
    "kept": pa.string(),
}
SCHEMA = pa.schema(KINDS)


def judged(*rows: dict[str, Any], batches: int = 1) -> list[Judged]:
    """The verdicts on these rows; each a record of partition 0 at an offset of its own, if it says nothing else."""
    whole = [
        {"partition": 0, "offset": at, "timestamp": at, "line_group": "o", "kept": f"{at}"} | row
        for at, row in enumerate(rows)
    ]
    table = pa.Table.from_pylist(whole, SCHEMA)
    parts = table.to_batches(max_chunksize=-(-len(rows) // batches))
    found = pa.Table.from_batches(judge(iter(parts)))
    assert found.select(SCHEMA.names).equals(table)
    return [Judged(row["outcome"], row["counted_in"]) for row in found.select(["outcome", "counted_in"]).to_pylist()]


def outcomes(*rows: dict[str, Any], batches: int = 1) -> list[str]:
    return [verdict.outcome for verdict in judged(*rows, batches=batches)]


def test_a_line_counts_once_also_across_batches() -> None:
    rows: list[dict[str, Any]] = [{"token": 1}, {"token": 2}, {"token": 1}, {"token": 1, "line_group": "p"}]
    for batches in (1, 2, 4):
        assert outcomes(*rows, batches=batches) == ["accepted", "accepted", "repeat", "accepted"]


def test_a_repeat_names_the_partition_that_counted() -> None:
    assert judged({"token": 1, "partition": 2}, {"token": 1, "partition": 0}, {"token": 1, "partition": 2}) == [
        ("accepted", None),
        ("repeat", 2),
        ("repeat", 2),
    ]


def test_a_record_without_identity_counts_unless_it_is_archived_twice() -> None:
    again = {"offset": 0, "timestamp": 0}
    assert outcomes(again, again, {}) == ["accepted", "repeat", "accepted"]
    assert outcomes({"offset": 0, "timestamp": 7}, {"offset": 0, "timestamp": 8}) == ["accepted"] * 2, (
        "a recreated topic"
    )
    plain = {"partition": None, "offset": None, "timestamp": None}
    assert outcomes(plain, plain) == ["accepted", "accepted"]
    assert outcomes(plain | {"token": 1}, plain | {"token": 1}) == ["accepted", "repeat"]


def test_a_rejected_record_leaves_nothing_and_is_counted_once() -> None:
    bad = {"offset": 0, "timestamp": 0, "reason": "bad_price", "line_group": "record 0/0/0"}
    assert outcomes(bad, bad, {"token": 1}) == ["bad_price", "repeat", "accepted"]


def test_an_order_that_changed_is_a_dead_letter_until_a_person_accepts_it() -> None:
    rows: list[dict[str, Any]] = [
        {"token": 1, "order_digest": "a"},
        {"token": 1, "order_digest": "b"},
        {"token": 2, "order_digest": "b"},
        {"token": 2, "replay_token": 3},
        {"token": 2, "order_digest": "b"},
        {"token": 4, "replay_token": 3},
    ]
    assert outcomes(*rows) == ["accepted", "repeat", "order_changed", "accepted", "repeat", "repeat"]


def test_a_canary_stays_one_also_where_it_was_archived_twice() -> None:
    canary = {"line_group": "record 0/7/7", "reason": "canary", "offset": 7, "timestamp": 7}
    assert outcomes({"token": 1}, canary, canary, {"token": 1}) == ["accepted", "canary", "canary", "repeat"]
