"""Files as numbered rows: formats, oddities, and what is refused with one clear line."""

import gzip
import os
from pathlib import Path

import pytest

from services.producer.csv_rows import BLOCK_CHARS, Row, Unreadable, original_bytes
from services.producer.source import BadFile, PurchaseFile, default_source, fingerprint
from tests.support.producer import HEADER, row, write_file


def texts(path: Path, start: int = 1, end: int | None = None, block_chars: int = BLOCK_CHARS) -> dict[int, str]:
    """Row number → original text."""
    found: dict[int, str] = {}
    with PurchaseFile(path, block_chars) as file:
        for block in file.blocks(start, end):
            assert len(block.rows) == len(block.texts)
            found |= {block.first + at: text.rstrip("\r\n") for at, text in enumerate(block.texts)}
    return found


def rows(path: Path) -> list[Row]:
    with PurchaseFile(path) as file:
        return [row for block in file.blocks() for row in block.rows]


@pytest.mark.parametrize("name", ["kz.csv", "kz.csv.gz"])
def test_rows_are_numbered_from_one(tmp_path: Path, name: str) -> None:
    path = write_file(tmp_path / name, [row(1), row(2), row(3)])
    assert texts(path) == {1: row(1), 2: row(2), 3: row(3)}
    assert default_source(path) == "kz.csv"


def test_a_packed_file_needs_no_gz_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "kz.csv"
    path.write_bytes(gzip.compress(f"{HEADER}\n{row(1)}\n".encode()))
    assert texts(path) == {1: row(1)}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_and_blank_lines(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "kz.csv"
    path.write_bytes(f"\ufeff{newline.join([HEADER, row(1), '', row(2), '', ''])}".encode())
    assert texts(path) == {1: row(1), 2: row(2)}


@pytest.mark.parametrize("block_chars", [1, 300, 10_000])
@pytest.mark.parametrize("quoted", [False, True])
def test_any_range_gives_the_same_rows_whatever_the_blocks(tmp_path: Path, block_chars: int, quoted: bool) -> None:
    odd = ['a,"one\ntwo\n\nthree",b', 'a,"say ""x""",b'] if quoted else ["a,b,c", "d"]
    path = write_file(tmp_path / "kz.csv", [row(1), odd[0], "", row(2), odd[1], row(3)])
    whole = texts(path, block_chars=block_chars)
    assert list(whole.values()) == [row(1), odd[0], row(2), odd[1], row(3)]
    for start in range(1, 7):
        for end in [*range(start, 7), None]:
            expected = {number: text for number, text in whole.items() if start <= number and (not end or number < end)}
            assert texts(path, start, end, block_chars) == expected


def test_one_unreadable_row_harms_no_other(tmp_path: Path) -> None:
    path = write_file(tmp_path / "kz.csv", [row(1), "x" * 200_000, row(2)])
    first, bad, last = rows(path)
    assert isinstance(bad, Unreadable)
    assert "field larger than field limit" in bad.detail
    assert [first, last] == [row(1).split(","), row(2).split(",")]
    assert texts(path)[2] == "x" * 200_000


def stray(number: int, opening: bool = True) -> str:
    """A row with a quote too many, at the begin or at the end of its brand."""
    return row(number).replace("samsung", '"samsung' if opening else 'samsung"')


@pytest.mark.parametrize("block_chars", [1, 300, BLOCK_CHARS])
@pytest.mark.parametrize("others", [0, 1, 50, 2_500])
@pytest.mark.parametrize("second", ["none", "opening", "closing"])
def test_a_stray_quote_damages_its_line_alone(tmp_path: Path, block_chars: int, others: int, second: str) -> None:
    between = [row(number) for number in range(3, 3 + others)]
    last = {"none": row(2), "opening": stray(2), "closing": stray(2, opening=False)}[second]
    lines = [row(1), stray(1), *between, last, row(2)]
    path = write_file(tmp_path / "kz.csv", lines)
    assert list(texts(path, block_chars=block_chars).values()) == lines
    damaged = [at for at, each in enumerate(rows(path)) if isinstance(each, Unreadable)]
    assert damaged == ([1, 2 + others] if second == "opening" else [1])


def test_a_field_of_several_lines_is_no_damage(tmp_path: Path) -> None:
    named = [f'{row(1)},"Tab,\n10 inch,\r\nblack, 64 GB, new, boxed, sealed"', f'{row(2)},"""\n"""', f"{row(3)},"]
    path = tmp_path / "kz.csv"
    path.write_bytes("\n".join([f"{HEADER},product_name", *named, ""]).encode())
    assert list(texts(path).values()) == named
    assert not any(isinstance(each, Unreadable) for each in rows(path))


def test_bytes_that_are_not_utf8_come_back(tmp_path: Path) -> None:
    path = tmp_path / "kz.csv"
    path.write_bytes(HEADER.encode() + b"\nK\xe4nnchen,1\n")
    assert original_bytes(texts(path)[1]) == b"K\xe4nnchen,1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (HEADER.replace(",price", "").encode(), r"lacks the column price \(found: event_time"),
        (HEADER.replace(",", ";").encode(), "lacks the columns event_time, order_id"),
        ((HEADER + ",price").encode(), "names a column twice: price"),
        (HEADER.encode("utf-16"), "is not UTF-8 text"),
        (b"K\xe4se,b\n", "is not UTF-8 text"),
        (b"\x1f\x8b\x08\x00garbage", "cannot be read"),
    ],
)
def test_what_is_no_purchase_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "kz.csv"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=message) as refused:
        PurchaseFile(path)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(BadFile, match="cannot be read"):
            PurchaseFile(path)


def test_a_damaged_file_names_the_last_row(tmp_path: Path) -> None:
    path = write_file(tmp_path / "kz.csv.gz", [f"{row(number)}{number**9}" for number in range(9000)])
    path.write_bytes(path.read_bytes()[:-20_000])
    with PurchaseFile(path) as file, pytest.raises(BadFile, match=r"cannot be read after row [\d,]+:"):
        for _ in file.blocks():
            pass


def test_what_cannot_be_read_twice_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BadFile, match="no regular file: rows are read twice, so save them"):
        PurchaseFile(pipe)


def test_the_fingerprint_is_the_same_packed_or_not_and_after_growth(tmp_path: Path) -> None:
    plain = write_file(tmp_path / "kz.csv", [row(1)])
    packed = write_file(tmp_path / "kz.csv.gz", [row(1)])
    known = fingerprint(plain)
    assert known == fingerprint(packed)
    write_file(plain, [row(1), row(2)])
    assert fingerprint(plain, known.length) == known
    assert fingerprint(plain) != known
