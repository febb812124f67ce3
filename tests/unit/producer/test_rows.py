"""Rows as events: columns by name, short rows repaired, bad ones as dead letters with their own bytes."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.dead_letters import MAX_VALUE_BYTES, FileOrigin, origin_of, reason_of
from services.common.events import Purchase, parse
from services.producer.csv_rows import Block, Row, Unreadable
from services.producer.line_ids import LineIdReader
from services.producer.partitioner import keyed_partitioner
from services.producer.rows import Record, RejectedRow, RowEncoder
from services.producer.source import OPTIONAL, REQUIRED, PurchaseFile
from tests.support.producer import row

NOW_MS = 1_600_000_000_000
place = keyed_partitioner(4)

# Part of the contract with every file that was sent before: they never change.
EVENT_ID = "b1408dbd40b0c843_1"
DIGEST = "61a8c88465d8f17c"


def encode(
    columns: Sequence[str], rows: Sequence[Row], first: int = 1, texts: Sequence[str] = ()
) -> list[Record | RejectedRow]:
    block = Block(first, list(rows), list(texts) or [",".join(r) for r in rows])
    reader = LineIdReader(columns)
    for number in range(1, first):
        reader.add(Block(number, [[]], [f"row {number}"]))
    reader.add(block)
    return RowEncoder(columns, "kz.csv", reader.line_ids(), place).encode(block, NOW_MS)


def record(columns: Sequence[str], fields: Row) -> Record:
    (outcome,) = encode(columns, [fields])
    assert isinstance(outcome, Record)
    return outcome


def dead_letter(fields: Row, text: str = "the text\r\n", columns: Sequence[str] = REQUIRED) -> RejectedRow:
    (outcome,) = encode(columns, [fields], 17, [text])
    assert isinstance(outcome, RejectedRow)
    return outcome


def test_a_whole_row() -> None:
    outcome = record(REQUIRED, row(1).split(","))
    assert json.loads(outcome.value) == {
        "event_id": EVENT_ID,
        "order_digest": DIGEST,
        "event_time": "2020-04-24 11:00:00 UTC",
        "order_id": "2294359932054536986",
        "product_id": "1515966223509089907",
        "category_id": "2268105426648170900",
        "category_code": "electronics.tablet",
        "brand": "samsung",
        "price": "1.01",
        "user_id": "1515915625400000001",
    }
    assert outcome.key == b"1515915625400000001"
    assert outcome.partition == place("1515915625400000001")[0]
    assert outcome.event_ms == 1_587_726_000_000


def test_a_content_that_looks_like_a_rounded_number_is_accepted() -> None:
    """Its hash is fifteen digits and an `e`, as one in some twenty thousand is."""
    sold = "2020-03-31 07:18:21 UTC,2294359932056001400,1515966223509000533,,,,679.41,"
    assert json.loads(record(REQUIRED, sold.split(",")).value)["event_id"] == "934668952674613e_1"


def test_an_anonymous_buyer_is_keyed_by_the_order() -> None:
    outcome = record(REQUIRED, row(1, anonymous=True).split(","))
    assert outcome.key == b"2294359932054536986"
    assert "user_id" not in json.loads(outcome.value)


@pytest.mark.parametrize("user", ["1515915625441993984", ""])
def test_a_short_row_is_repaired(user: str) -> None:
    """The very shape of the real file: price where category_code would stand, user where brand would."""
    outcome = record(
        REQUIRED, ["2020-04-24 19:16:21 UTC", "2294584263154074236", "2273948316817424439", "", "217.57", user]
    )
    purchase = parse(outcome.value, NOW_MS)
    assert isinstance(purchase, Purchase)
    assert (purchase.price, purchase.user_id) == (21757, user or None)
    assert (purchase.category_id, purchase.category_code, purchase.brand) == (None, None, None)


@pytest.mark.parametrize(
    "fields",
    [
        ["2020-04-24 19:16:21 UTC", "1", "2", "not empty", "217.57", "3"],
        ["2020-04-24 19:16:21 UTC", "1", "2", "", "217.57"],
        [*row(1).split(","), "more"],
        [""],
        Unreadable("field larger than field limit"),
    ],
)
def test_other_shapes_are_dead_letters(fields: Row) -> None:
    assert dead_letter(fields).reason == "bad_row"


def test_a_short_row_is_not_guessed_at_in_another_layout() -> None:
    short = ["2020-04-24 19:16:21 UTC", "1", "2", "", "217.57", "3"]
    assert dead_letter(short, columns=list(reversed(REQUIRED))).reason == "bad_row"


def test_a_short_row_is_repaired_where_columns_follow_the_seed_s() -> None:
    short = ["2020-04-24 19:16:21 UTC", "1", "2", "", "217.57", "3"]
    purchase = parse(record([*REQUIRED, "quantity"], short).value, NOW_MS)
    assert isinstance(purchase, Purchase)
    assert (purchase.price, purchase.user_id, purchase.quantity) == (21757, "3", 1)


def test_columns_are_found_by_name() -> None:
    columns = ["note", *reversed(REQUIRED), "quantity", "product_name", "amount"]
    fields = ["ignored", *reversed(row(1).split(",")), "3", "Kännchen", "2.50"]
    purchase = parse(record(columns, fields).value, NOW_MS)
    assert isinstance(purchase, Purchase)
    assert (purchase.order_id, purchase.quantity, purchase.product_name) == ("2294359932054536986", 3, "Kännchen")
    assert (purchase.price, purchase.revenue) == (101, 250)


def test_an_event_id_of_its_own_is_kept() -> None:
    columns = [*REQUIRED, "event_id"]
    own = json.loads(record(columns, [*row(1).split(","), "till-7/3"]).value)
    assert own["event_id"] == "till-7/3"
    assert "order_digest" not in own, "the sender says itself which lines there are"
    other = json.loads(record(columns, [*row(1).split(","), ""]).value)
    assert (other["event_id"], other["order_digest"]) == (EVENT_ID, DIGEST)


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("event_time", "1970-01-01 00:33:40 UTC", "bad_time"),
        ("event_time", "2099-01-01 00:00:00 UTC", "bad_time"),
        ("price", "NaN", "bad_price"),
        ("price", "1e9", "bad_price"),
        ("price", "--3", "bad_price"),
        ("price", "1.234", "bad_price"),
        ("price", "", "missing_field"),
        ("order_id", "", "missing_field"),
        ("product_id", "x" * 129, "bad_id"),
        ("user_id", "a\x00b", "bad_id"),
        ("brand", "b" * 300, "bad_text"),
        ("brand", "K\udce4se", "bad_row"),
    ],
)
def test_a_bad_field_is_a_dead_letter_with_its_reason(column: str, text: str, reason: str) -> None:
    fields = row(1).split(",")
    fields[REQUIRED.index(column)] = text
    assert dead_letter(fields).reason == reason


def test_a_dead_letter_carries_bytes_and_origin() -> None:
    outcome = dead_letter(["K\udce4se"], "K\udce4se,1\r\n")
    assert outcome.value == b"K\xe4se,1"
    assert outcome.key == dict(outcome.headers).get("source-event-id", b"kz.csv:17").decode()
    assert origin_of(outcome.headers) == FileOrigin("kz.csv", 17)
    assert reason_of(outcome.headers) == "bad_row"
    assert dict(outcome.headers)["service"] == b"producer"
    assert dict(outcome.headers)["source-columns"] == ",".join(REQUIRED).encode()


def test_a_row_longer_than_a_record_is_cut_and_says_so() -> None:
    outcome = dead_letter(Unreadable("too long"), "x" * 2_000_000)
    assert len(outcome.value) == MAX_VALUE_BYTES
    assert b"of 2000000 bytes" in dict(outcome.headers)["detail"]


FIELD = st.sampled_from(row(1).split(",")) | st.text(max_size=20) | st.text('\udc80\x00\u2028"\\,', max_size=5)
ROW = st.lists(FIELD, max_size=12) | st.builds(Unreadable, st.text(max_size=20))
COLUMNS = st.permutations([*REQUIRED, *OPTIONAL, "note"]).map(tuple) | st.just(REQUIRED)


@given(COLUMNS, st.lists(ROW, max_size=5))
def test_any_row_is_one_record_or_one_dead_letter(columns: Sequence[str], rows: list[Row]) -> None:
    texts = [",".join(fields) for fields in rows]
    outcomes = encode(columns, rows, 17, texts)
    assert len(outcomes) == len(rows)
    for number, (text, outcome) in enumerate(zip(texts, outcomes, strict=True), 17):
        if isinstance(outcome, Record):
            purchase = parse(outcome.value, NOW_MS)
            assert isinstance(purchase, Purchase)
            assert (outcome.partition, outcome.key) == place(purchase.user_id or purchase.order_id)
        else:
            assert outcome.value == text.rstrip("\r\n").encode("utf-8", "surrogateescape")
            assert origin_of(outcome.headers) == FileOrigin("kz.csv", number)


LINE = st.sampled_from([row(1), row(2, anonymous=True), "", '"', 'a,"b', "x" * 10]).map(str.encode) | st.binary(
    max_size=30
)
END = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINE, END), max_size=8), st.booleans())
def test_no_byte_of_any_file_is_lost(lines: list[tuple[bytes, bytes]], ends: bool) -> None:
    """Every line but blank ones is in one row, in order; rows are numbered without a gap."""
    body = b"".join(line + end for line, end in lines)
    body = body if ends else body.rstrip(b"\r\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kz.csv"
        path.write_bytes(",".join(REQUIRED).encode() + b"\n" + body)
        with PurchaseFile(path) as file:
            blocks = list(file.blocks())
    texts = b"".join(text.encode("utf-8", "surrogateescape") for block in blocks for text in block.texts)
    assert texts.replace(b"\r", b"").replace(b"\n", b"") == body.replace(b"\r", b"").replace(b"\n", b"")
    assert [block.first for block in blocks] == [1 + sum(map(len, blocks[:place])) for place in range(len(blocks))]
    for block in blocks:
        assert len(encode(REQUIRED, block.rows, block.first, block.texts)) == len(block)


def test_the_dead_letter_of_several_lines_says_how_many() -> None:
    fields = [*row(1).split(",")[:5], "sam\nsung\n" * 200, *row(1).split(",")[6:]]
    outcome = dead_letter(fields, "the\ntext\r\nof three\r\n")
    assert dict(outcome.headers)["detail"].endswith(b"; the row holds 3 lines")
    assert b"lines" not in dict(dead_letter([*fields[:6], "NaN", ""], "one line\r\n").headers)["detail"]
