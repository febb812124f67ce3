"""Dead letters: the headers name reason and origin, and what cannot be read stops nobody."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.dead_letters import (
    MAX_VALUE_BYTES,
    FileOrigin,
    Headers,
    Origin,
    RecordOrigin,
    cut,
    dead_letter_headers,
    origin_of,
    reason_of,
)
from services.common.events import Reason, Rejected

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255)
ROWS = st.integers(0, 10**15 - 1)
ORIGINS: st.SearchStrategy[Origin] = st.one_of(
    st.builds(RecordOrigin, TEXTS, st.integers(0, 2**31 - 1), ROWS), st.builds(FileOrigin, TEXTS, ROWS)
)
HEADERS = dead_letter_headers(RecordOrigin("purchases", 3, 42), Rejected(Reason.BAD_PRICE, "no"), "aggregator")


@given(ORIGINS, st.sampled_from(Reason), st.text(), TEXTS)
def test_origin_and_reason_survive_the_headers(origin: Origin, reason: Reason, detail: str, service: str) -> None:
    headers = dead_letter_headers(origin, Rejected(reason, detail), service)
    assert origin_of(headers) == origin
    assert reason_of(headers) == reason.value
    assert dict(headers)["service"].decode() == service


@given(st.text())
def test_the_detail_is_text_of_at_most_500_bytes(detail: str) -> None:
    headers = dead_letter_headers(FileOrigin("a.csv", 1), Rejected(Reason.BAD_ROW, detail), "producer")
    written = dict(headers)["detail"]
    assert len(written) <= 500
    assert detail.startswith(written.decode()) or not detail.isascii()


def test_a_long_detail_is_cut_between_two_characters() -> None:
    headers = dead_letter_headers(FileOrigin("a.csv", 1), Rejected(Reason.BAD_ROW, "a" + "ü" * 500), "producer")
    assert dict(headers)["detail"].decode() == "a" + "ü" * 249


def test_a_records_origin_is_a_place_in_its_partition() -> None:
    origin = RecordOrigin("purchases", 3, 42)
    assert (origin.source, origin.row) == ("purchases/3", 42)


def test_a_rows_origin_is_a_place_in_its_file() -> None:
    assert FileOrigin("kz.csv", 7).source == "kz.csv"


@given(st.dictionaries(st.sampled_from([name for name, _ in HEADERS]), st.none() | st.binary(max_size=8)))
def test_foreign_headers_have_an_origin_or_none_and_never_stop_the_reader(odd: dict[str, Any]) -> None:
    headers: Headers = list({**dict(HEADERS), **odd}.items())
    assert isinstance(origin_of(headers), RecordOrigin | None)
    assert reason_of(headers) in {*Reason, "unnamed"}


@pytest.mark.parametrize(
    "number", [b"9" * 20, b"9" * 5000, b"-1", b"+1", b" 1", b"1_0", b"1.0", "\u0663".encode(), b"", b"\xff", b"seven"]
)
def test_a_number_that_no_service_writes_is_no_origin(number: bytes) -> None:
    assert origin_of([("source-file", b"kz.csv"), ("source-row", number)]) is None
    for name in ("source-partition", "source-offset"):
        assert origin_of(list({**dict(HEADERS), name: number}.items())) is None


@pytest.mark.parametrize("source", [b"", b"\xff\xfe", "grün.csv".encode("latin-1"), b"a\x00b", b"a\nb", b"x" * 256])
def test_a_source_that_no_service_writes_is_no_origin(source: bytes) -> None:
    assert origin_of([("source-file", source), ("source-row", b"7")]) is None
    assert origin_of(list({**dict(HEADERS), "source-topic": source}.items())) is None


@pytest.mark.parametrize("missing", ["source-topic", "source-partition", "source-offset"])
def test_an_incomplete_origin_is_none(missing: str) -> None:
    assert origin_of([header for header in HEADERS if header[0] != missing]) is None


def test_a_reason_that_is_no_code_of_ours_is_unnamed() -> None:
    assert reason_of([("reason", b"bad_weather")]) == reason_of([("reason", b"\xff")]) == reason_of([]) == "unnamed"


def test_a_value_that_fits_no_record_is_cut_and_the_detail_says_so() -> None:
    rejected = Rejected(Reason.TOO_LARGE, "why")
    assert cut(b"x" * MAX_VALUE_BYTES, rejected) == (b"x" * MAX_VALUE_BYTES, rejected)
    value, told = cut(b"x" * 2_000_000, rejected)
    assert len(value) == MAX_VALUE_BYTES
    assert told.reason is Reason.TOO_LARGE
    assert told.detail == "why; the value is cut to 900000 of 2000000 bytes"
