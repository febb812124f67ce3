"""The identity of a file's lines: what changes it, and what does not."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.producer import line_ids
from services.producer.csv_rows import Block
from services.producer.line_ids import LineIdReader, LineIds, PrefixDigest, read_line_ids
from services.producer.source import REQUIRED, PurchaseFile
from tests.support.producer import row, write_file

Identity = tuple[str, str]  # event id and order digest


def ids_of(rows: Iterable[str], columns: Sequence[str] = REQUIRED) -> LineIds:
    texts = list(rows)
    reader = LineIdReader(columns)
    reader.add(Block(1, [text.split(",") for text in texts], texts))
    return reader.line_ids()


def identities(rows: Iterable[str], columns: Sequence[str] = REQUIRED) -> list[Identity]:
    ids = ids_of(rows, columns)
    return list(zip(*ids.of(1, len(ids)), strict=True))


def line(order: str = "o", product: str = "p", price: str = "1.00", user: str = "ann", **more: str) -> str:
    fields = {"time": "2020-04-24 11:00:00 UTC", "category": "", "code": "a.b", "brand": "acme"} | more
    return f"{fields['time']},{order},{product},{fields['category']},{fields['code']},{fields['brand']},{price},{user}"


def test_equal_rows_of_an_order_are_lines_of_their_own() -> None:
    (first, _), (other, _), (second, _), (third, _) = identities([line(), line(product="q"), line(), line()])
    content = first.removesuffix("_1")
    assert [second, third] == [f"{content}_2", f"{content}_3"]
    assert other.endswith("_1")
    assert len(content) == 16


def test_what_is_known_later_than_the_sale_changes_no_identity() -> None:
    assert identities([line(user="", brand="", code="", category="")]) == identities([line()])


@pytest.mark.parametrize("change", [{"product": "q"}, {"price": "1.01"}, {"time": "2020-04-24 11:00:01 UTC"}])
def test_what_is_sold_when_and_for_how_much_changes_id_and_digest(change: dict[str, str]) -> None:
    ((event_id, digest),) = identities([line(**change)])
    ((usual_id, usual_digest),) = identities([line()])
    assert event_id != usual_id
    assert digest != usual_digest


def test_a_digest_covers_every_line_of_its_order_and_no_other() -> None:
    ((_, first), (_, other), (_, last)) = identities([line("o"), line("x"), line("o", "q")])
    assert first == last != other
    assert identities([line("o"), line("o", "q")])[0][1] == first
    assert identities([line("o"), line("o", "q"), line("o", "q")])[0][1] != first, "one piece more"


def test_a_column_more_that_says_nothing_changes_no_identity() -> None:
    for more in (",1,", ",,"):
        assert identities([f"{line()}{more}"], [*REQUIRED, "quantity", "amount"]) == identities([line()])
    for more in (",2,", ",,1.00"):
        assert identities([f"{line()}{more}"], [*REQUIRED, "quantity", "amount"]) != identities([line()])


def test_an_order_id_in_a_spreadsheet_s_quotes_is_the_same_order() -> None:
    texts = [line(), line("o", "q")]
    fields = [text.split(",") for text in texts]
    fields[1][1] = '="o"'
    reader = LineIdReader(REQUIRED)
    reader.add(Block(1, list(fields), texts))
    assert list(zip(*reader.line_ids().of(1, 2), strict=True)) == identities(texts)


def test_a_row_with_an_id_of_its_own_takes_no_part() -> None:
    columns = [*REQUIRED, "event_id"]
    own, without = identities([f"{line()},till-7/3", f"{line()},"], columns)
    assert own == ("", "")
    assert [without] == identities([line()])


def test_a_row_that_has_no_fields_is_known_by_its_text() -> None:
    (first, _), (other, _), (again, _) = identities(["half,a row", "half,another", "half,a row"])
    assert (again, first[:16] != other[:16]) == (f"{first[:16]}_2", True)


ROWS = st.lists(st.builds(line, st.sampled_from("abc"), st.sampled_from("pq"), st.sampled_from("12")), max_size=30)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_identity(rows: list[str], dice: random.Random) -> None:
    shuffled = list(rows)
    dice.shuffle(shuffled)
    assert sorted(identities(shuffled)) == sorted(identities(rows))
    assert len({event_id for event_id, _ in identities(rows)}) == len(rows)


@given(ROWS)
def test_orders_in_several_groups_keep_their_identity(rows: list[str]) -> None:
    usual = identities(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_ids, "_ROWS_AT_ONCE", 3)
        assert identities(rows) == usual


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    rows = [row(number) for number in range(9_000)]
    seen: list[int] = []
    with PurchaseFile(write_file(tmp_path / "kz.csv.gz", rows)) as file:
        ids = read_line_ids(file, seen.append)
    assert (len(ids), sum(seen)) == (9_000, 9_000)
    assert ids.of(4_001, 2) == ids_of(rows).of(4_001, 2)
    with PurchaseFile(write_file(tmp_path / "empty.csv", [])) as file:
        assert len(read_line_ids(file)) == 0


def test_a_prefix_has_one_digest_however_it_grew() -> None:
    rows = [row(number) for number in range(50)]
    grown, changed = PrefixDigest(ids_of(rows)), PrefixDigest(ids_of([*rows[:20], row(99), *rows[21:]]))
    assert grown.of(0) == changed.of(0)
    assert grown.of(20) == changed.of(20)
    assert grown.of(21) != changed.of(21)
    assert grown.of(40) == PrefixDigest(ids_of(rows)).of(40)
