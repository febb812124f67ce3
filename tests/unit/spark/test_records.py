"""Archive lines become checked rows."""

import json
from typing import Any

import pyarrow as pa

from services.common.event_rules import DEFAULT_RULES
from services.common.events import Purchase, parse
from services.common.line_identity import line_token
from services.privacy.found import single
from spark.records import CHECKED, checked_row, checker

PATH = "s3a://bucket/raw/purchases/2020/05/01/10/x.json.gz"
JOB_MS = 1_600_000_000_000  # 2020-09-13
EVENT: dict[str, object] = {
    "event_id": "kz:7",
    "event_time": "2020-04-24 11:50:39 UTC",
    "order_id": "2294359932054536986",
    "product_id": "1515966223509089906",
    "user_id": "",
    "category_code": "electronics.tablet",
    "price": "162.01",
    "quantity": "-2",
}


def row(event: dict[str, object], path: str = PATH) -> dict[str, object]:
    names = [name for name, _ in CHECKED]
    return dict(zip(names, checked_row(json.dumps(event).encode(), path, JOB_MS), strict=True))


def lines_batch(lines: list[bytes]) -> pa.RecordBatch:
    columns: list[pa.Array[Any]] = [pa.array(lines, pa.binary()), pa.array([PATH] * len(lines), pa.string())]
    return pa.RecordBatch.from_arrays(columns, ["line", "path"])


def test_a_replayed_line_has_the_same_columns() -> None:
    replay = EVENT | {"event_id": "kz:7:replay", "replay_of": "kz:7"}
    columns = row(replay)
    assert columns | {"token": 0, "replay_token": 0} == row(EVENT) | {
        "event_id": "kz:7:replay",
        "token": 0,
        "replay_token": 0,
    }
    assert columns["replay_token"] not in (None, columns["token"])


def test_a_line_has_its_token_and_the_digest_of_its_order() -> None:
    purchase = parse(json.dumps(EVENT).encode(), JOB_MS)
    assert isinstance(purchase, Purchase)
    token = line_token(purchase)
    assert token is not None
    columns = row(EVENT | {"order_digest": "0123456789abcdef"})
    assert columns["token"] == int.from_bytes(token, signed=True)
    assert (columns["replay_token"], columns["order_digest"]) == (None, "0123456789abcdef")
    assert row(EVENT | {"event_id": ""})["token"] is None


def test_an_accepted_line_is_a_purchase_in_cents_and_milliseconds() -> None:
    assert row({"partition": 1, "offset": 5, "timestamp": 1587729100000, "value": EVENT}) == {
        "partition": 1,
        "offset": 5,
        "timestamp": 1587729100000,
        "event_id": "kz:7",
        "event_time": 1587729039000,
        "order_id": "2294359932054536986",
        "product_id": "1515966223509089906",
        "user_id": None,
        "category_id": None,
        "category_code": "electronics.tablet",
        "brand": None,
        "product_name": None,
        "price": 16201,
        "quantity": -2,
        "revenue": -32402,
        "token": row(EVENT)["token"],
        "replay_token": None,
        "order_digest": None,
        "reason": None,
        "arrived": 1587729100000,
    }


def test_a_rejected_line_keeps_its_place_and_its_reason() -> None:
    rejected = row({"partition": 1, "offset": 5, "timestamp": 1587729100000, "value": EVENT | {"price": "1e9"}})
    assert (rejected["partition"], rejected["offset"], rejected["reason"]) == (1, 5, "bad_price")
    assert rejected["order_id"] is None


def test_a_plain_line_is_held_against_the_hour_of_its_object() -> None:
    assert row(EVENT)["arrived"] == 1_588_330_800_000  # 2020-05-01T11:00:00Z
    assert row(EVENT | {"event_time": "2020-05-02 10:59:59 UTC"})["reason"] is None
    assert row(EVENT | {"event_time": "2020-05-02 11:00:01 UTC"})["reason"] == "bad_time"


def test_a_plain_line_without_an_hour_is_held_against_the_start_of_the_job() -> None:
    path = "s3a://bucket/raw/purchases/all.json"
    assert row(EVENT | {"event_time": "2020-09-14 12:00:00 UTC"}, path)["reason"] is None
    assert row(EVENT | {"event_time": "2020-09-14 13:00:00 UTC"}, path)["reason"] == "bad_time"


def test_batches_keep_their_lines_and_may_be_empty() -> None:
    lines = [json.dumps(EVENT).encode(), b"not json"]
    batches = [lines_batch(lines), lines_batch([])]
    full, empty = checker(JOB_MS, DEFAULT_RULES)(iter(batches))
    assert full.column("reason").to_pylist() == [None, "not_json"]
    assert full.column("revenue").to_pylist() == [-32402, None]
    assert empty.num_rows == 0
    assert empty.schema.names == [name for name, _ in CHECKED]


def test_three_sales_on_one_line_are_three_rows() -> None:
    """As Data Firehose writes them without a delimiter."""
    (rows,) = checker(JOB_MS, DEFAULT_RULES)(iter([lines_batch([json.dumps(EVENT).encode() * 3])]))
    assert rows.column("reason").to_pylist() == [None] * 3
    assert rows.column("revenue").to_pylist() == [-32402] * 3


def test_the_lines_of_an_erased_customer_count_without_a_customer() -> None:
    before = row(EVENT | {"user_id": "ann"})
    rules = DEFAULT_RULES._replace(erased=single("ann"))
    checked = checked_row(json.dumps(EVENT | {"user_id": "ann"}).encode(), PATH, JOB_MS, rules)
    assert before["user_id"] == "ann"
    assert dict(zip([name for name, _ in CHECKED], checked, strict=True)) == before | {"user_id": None}


def test_a_canary_is_a_record_that_is_no_purchase() -> None:
    columns = row({"partition": 1, "offset": 5, "timestamp": 1587729100000, "value": {"canary": "c"}})
    assert {name: value for name, value in columns.items() if value is not None} == {
        "partition": 1,
        "offset": 5,
        "timestamp": 1587729100000,
        "arrived": 1587729100000,
        "reason": "canary",
    }
