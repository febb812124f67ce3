"""Bodies of the event intake: gzip, byte order mark, JSON lines."""

import gzip
import tracemalloc
import zlib

import pytest

from services.common.events import Purchase, Rejected
from services.gateway.api.packed_body import unpacked
from services.gateway.api.problems import Problem
from services.gateway.upstreams.event_intake import MAX_EVENTS, read_events

EVENT = b'{"event_time": "2020-04-24T11:50:39Z", "order_id": "o", "product_id": "p", "price": "1.10"}'
PACKED = gzip.compress(EVENT, mtime=0)


@pytest.mark.parametrize("encoding", [None, "", "identity", "Identity "])
def test_a_plain_body_is_itself(encoding: str | None) -> None:
    assert unpacked(EVENT, encoding or None, 1_000) == EVENT


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " x-gzip"])
def test_gzip_is_unpacked_up_to_the_limit(encoding: str) -> None:
    assert unpacked(PACKED, encoding, len(EVENT)) == EVENT
    with pytest.raises(Problem, match="unpacks to more") as refused:
        unpacked(PACKED, encoding, len(EVENT) - 1)
    assert refused.value.status_code == 413


def test_a_bomb_is_never_unpacked() -> None:
    bomb = gzip.compress(b" " * 20_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(Problem):
            unpacked(bomb, "gzip", 1_000)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_a_byte_order_mark_is_dropped_packed_or_not() -> None:
    marked = b"\xef\xbb\xbf" + EVENT
    assert unpacked(marked, None, 1_000) == unpacked(gzip.compress(marked), "gzip", 1_000) == EVENT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        EVENT,
        PACKED[:-1],
        PACKED[:-9],
        PACKED + PACKED,
        PACKED + b"x",
        zlib.compress(EVENT),
        PACKED[:-8] + b"0" * 8,
    ],
    ids=["empty", "plain", "cut", "cut early", "two members", "more", "zlib", "wrong sum"],
)
def test_what_is_no_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(Problem, match="body: ") as refused:
        unpacked(body, "gzip", 1_000)
    assert refused.value.status_code == 422


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "gzip,gzip"])
def test_other_codings_are_refused(encoding: str) -> None:
    with pytest.raises(Problem) as refused:
        unpacked(EVENT, encoding, 1_000)
    assert (refused.value.status_code, refused.value.headers) == (415, {"Accept-Encoding": "gzip"})


def test_json_lines_are_events_of_their_own() -> None:
    other = EVENT.replace(b'"o"', b'"next"')
    events = read_events(b"\n".join([EVENT, b"", other + b"\r", b"{", b"[]", b"\xff", EVENT + b" 7"]), lines=True)
    outcomes = [event.outcome for event in events]
    assert [each.order_id for each in outcomes if isinstance(each, Purchase)] == ["o", "next"]
    refused = [each.reason for each in outcomes if isinstance(each, Rejected)]
    assert refused == ["not_json", "not_an_object", "not_json", "not_json"]
    assert b" " not in events[0].value


def test_the_key_of_a_request_names_its_lines() -> None:
    events = read_events(EVENT + b"\n\n" + EVENT, idempotency_key="k", lines=True)
    assert [each.outcome.event_id for each in events if isinstance(each.outcome, Purchase)] == ["k:0", "k:1"]


@pytest.mark.parametrize(
    "body",
    [b"", b"\n\n", b"{}\n" * (MAX_EVENTS + 1), b"{}" + b"\n" * (2 * MAX_EVENTS + 1)],
    ids=["empty", "blank", "too many", "too many blanks"],
)
def test_too_few_and_too_many_lines(body: bytes) -> None:
    with pytest.raises(Problem, match="1 to 1,000 events"):
        read_events(body, lines=True)


def test_as_many_lines_as_allowed() -> None:
    assert len(read_events(b"{}\n\n" * MAX_EVENTS, lines=True)) == MAX_EVENTS
