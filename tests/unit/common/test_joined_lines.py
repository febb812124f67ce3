"""Records on one line, as Data Firehose writes them without a delimiter."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.archive.joined import read_records
from services.common.archive.lines import archive_line, read_line

SALE = b'{"event_time": "2026-03-01T12:00:00Z", "order_id": "e1", "product_id": "p", "price": "10.00"}'
DAMAGED = [b'{"order_id": e1}', b'{"a": [1, 2}', b"no JSON", b'{"open": "string}', b'{"order_id": "e1']

# At most eight places within an object look like the end of one and the begin of the next.
texts = st.text('}{a\\"ü', max_size=3)
objects = st.dictionaries(texts, texts | st.integers() | st.lists(texts, max_size=1), max_size=2)


def values(line: bytes) -> list[bytes | None]:
    return [record.value for record in read_records(line)]


@given(st.lists(objects.map(lambda each: json.dumps(each).encode()), min_size=1, max_size=6))
def test_joined_objects_are_the_objects(records: list[bytes]) -> None:
    assert values(b"".join(records)) == records
    assert values(b" ".join(records)) == records


@pytest.mark.parametrize("line", [SALE, b"", b"[1, 2]", b'{"name": "}{"}', b"no JSON", b'"}{"', b"}", b" {}"])
def test_what_is_one_record_stays_one(line: bytes) -> None:
    assert values(line) == [line]


def test_lines_of_the_archiver_keep_their_place_joined_or_not() -> None:
    lines = [
        archive_line(0, offset, 1_587_729_039_000, value) for offset, value in enumerate([SALE, None, b"}{", b"x"])
    ]
    whole = [read_line(line[:-1]) for line in lines]
    assert [record for line in lines for record in read_records(line[:-1])] == whole
    assert read_records(b"".join(line[:-1] for line in lines)) == whole


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_record_takes_no_neighbour_along(damaged: bytes) -> None:
    found = values(SALE + damaged + SALE + SALE)
    assert found.count(SALE) == 3
    assert b"".join(each or b"" for each in found) == SALE + damaged + SALE + SALE


def test_an_object_of_firehose_is_read_in_linear_time() -> None:
    """Half a megabyte on one line; and the worst kind, objects that never end."""
    begun = time.process_time()
    assert len(read_records(SALE * 5_000)) == 5_000
    usual = time.process_time() - begun
    assert len(read_records(b'{"a":"}' * 5_000)) == 5_000
    assert time.process_time() - begun - usual < max(20 * usual, 5)
