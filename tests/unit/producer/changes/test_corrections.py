"""Changes of a table as lines: what Debezium wrote of a real PostgreSQL adds up to what the table holds."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from services.common.events import Purchase, Reason, Rejected, parse
from services.common.times import format_time
from services.producer.changes.corrections import Corrections, Event, unread
from services.producer.changes.envelope import NotAChange
from services.producer.layouts.mapping import Mapping
from services.producer.source import BadFile
from tests.support.changes import FORMS, MAPPING, Record, recorded

BROKER_MS = 1_796_000_000_000


def events_of(records: Iterable[Record], mapping: Mapping = MAPPING) -> list[Event]:
    corrections = Corrections(mapping)
    events: list[Event] = []
    for key, value in records:
        try:
            change = corrections.read(value)
            events += corrections.events(change, key, BROKER_MS) if change else []
        except NotAChange as error:
            events.append(unread(value, str(error)))
    return events


def purchase(event: Event) -> Purchase:
    found = parse(msgspec.json.encode(event), BROKER_MS)
    assert isinstance(found, Purchase), found
    return found


def said(event: Event) -> tuple[Any, ...]:
    found = purchase(event)
    return found.order_id, found.product_id, found.quantity, found.revenue, event["event_time"][:10]


@pytest.mark.parametrize("form", FORMS)
def test_changes_are_corrections(form: str) -> None:
    events = events_of(recorded(form))
    assert [said(event) for event in events if "unread" not in event] == [
        ("A-1", "TT-1", 2, 2500, "2026-03-13"),  # the snapshot; line 3 is pending
        ("A-1", "MUG", 1, 800, "2026-03-13"),
        ("A-3", "TT-1", 1, 10, "2026-03-15"),
        ("A-3", "MUG", -1, -800, "2026-03-15"),
        ("A-1", "TT-1", -2, -2500, "2026-11-29"),  # another quantity, at the time of the change
        ("A-1", "TT-1", 3, 3750, "2026-11-29"),
        ("A-2", "BOWL", 1, 10_000_000, "2026-03-14"),  # paid: a sale at the order's time
        ("A-2", "BOWL", -1, -10_000_000, "2026-11-29"),  # cancelled; another title before changes nothing
        ("A-3", "TT-1", -1, -10, "2026-11-29"),  # deleted
        ("A-3", "MUG", 1, 800, "2026-11-29"),  # another primary key: deleted and created
        ("A-3", "MUG", -1, -800, "2026-03-15"),
    ]
    ids = [(event["order_id"], event["event_id"]) for event in events if "unread" not in event]
    assert len(set(ids)) == len(ids)
    assert events_of(recorded(form)) == events


@pytest.mark.parametrize("form", FORMS)
def test_without_the_full_identity_nothing_is_guessed(form: str) -> None:
    refused = [event for event in events_of(recorded(form)) if "unread" in event]
    assert len(refused) == 2  # an update and a deletion
    for event in refused:
        assert "REPLICA IDENTITY FULL" in event["reason"]
        assert isinstance(parse(msgspec.json.encode(event), BROKER_MS), Rejected)


def test_a_deletion_without_the_row_is_seen_behind_a_condition_too() -> None:
    only = msgspec.structs.replace(MAPPING, skip={}, only={"status": ["paid"]})
    assert sum("unread" in event for event in events_of(recorded("text"), only)) == 2


def changed(at: int, **values: Any) -> Record:
    """A recorded change of the form `text` with other values in the row as it is now."""
    key, value = recorded("text")[at]
    record = json.loads(value or b"")
    record["after"] |= values
    return key, json.dumps(record).encode()


def test_a_row_that_was_never_accepted_is_not_taken_back() -> None:
    key, value = recorded("text")[5]
    record = json.loads(value or b"")
    record["before"]["price"] = "1.005"
    events = events_of([(key, json.dumps(record).encode())])
    assert [said(event) for event in events] == [("A-1", "TT-1", 3, 3750, "2026-03-13")]


def test_a_row_that_cannot_be_understood_takes_back_what_it_was() -> None:
    out, sale = events_of([changed(5, price="-1.005")])
    assert said(out)[:4] == ("A-1", "TT-1", -2, -2500)
    assert isinstance(parse(msgspec.json.encode(sale), BROKER_MS), Rejected)


def change(at: int, op: str, before: dict[str, Any] | None, after: dict[str, Any] | None, **source: Any) -> Record:
    """A recorded change of the form `text` as another one: of its row as it is now, with other values."""
    key, value = recorded("text")[at]
    record = json.loads(value or b"")
    row = record["after"]
    record |= {"op": op, "source": record["source"] | source}
    record["before"], record["after"] = (None if each is None else row | each for each in (before, after))
    return key, json.dumps(record).encode()


def test_a_deleted_row_that_never_counted_is_nothing() -> None:
    assert events_of([change(5, "d", {"price": "-5.00"}, None)]) == []


def test_a_row_of_the_future_counts_when_it_is_made_and_is_taken_back_later() -> None:
    made_ms, day_ms = BROKER_MS - 5 * 86_400_000, 86_400_000
    ahead = {"created_at": format_time(made_ms + 2 * day_ms)}
    sale, out = events_of(
        [
            change(5, "c", None, ahead, ts_ms=made_ms, lsn=1),
            change(5, "u", ahead, ahead | {"status": "cancelled"}, ts_ms=made_ms + 3 * day_ms, lsn=2),
        ]
    )
    assert parse(msgspec.json.encode(sale), made_ms) == purchase(sale)
    assert purchase(sale).event_time == made_ms
    assert purchase(sale).revenue == -purchase(out).revenue > 0


@pytest.mark.parametrize("column", ["created_at", "booked"])
def test_a_time_without_end_harms_no_other_column(column: str) -> None:
    key, value = recorded("schema")[0]
    record = json.loads(value or b"")
    record["payload"]["after"]["booked"] = 9223372036825200000  # PostgreSQL's infinity
    columns = MAPPING.columns | {"event_time": [column]}
    [event] = events_of([(key, json.dumps(record).encode())], msgspec.structs.replace(MAPPING, columns=columns))
    found = parse(msgspec.json.encode(event), BROKER_MS)
    reason = found.reason if isinstance(found, Rejected) else None
    assert reason is (None if column == "created_at" else Reason.BAD_TIME)


@pytest.mark.parametrize("mapped", [True, False])
def test_a_value_that_is_not_of_its_type(*, mapped: bool) -> None:
    key, value = recorded("schema")[0]
    record = json.loads(value or b"")
    record["payload"]["after"]["price" if mapped else "booked"] = "x"
    [event] = events_of([(key, json.dumps(record).encode())])
    assert ("has price" in event.get("reason", "")) is mapped
    assert isinstance(parse(msgspec.json.encode(event), BROKER_MS), Rejected if mapped else Purchase)


def test_amounts_are_taken_back_to_the_cent() -> None:
    mapping = msgspec.structs.replace(MAPPING, columns=MAPPING.columns | {"discount": ["note"]})
    out, sale = events_of([recorded("text")[5]], mapping)
    assert (said(out)[3], said(sale)[3]) == (-2350, 3600)


@pytest.mark.parametrize("price", ["1234", "BOI="])
def test_bytes_are_not_taken_for_a_number(price: str) -> None:
    [event] = events_of([changed(3, price=price)])
    assert "decimal.handling.mode=string" in event["reason"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"no", "no change event"),
        (b"[]", "no change event"),
        (b'{"line_id": 1}', "no change event"),  # flattened
        (b'{"op":"x","source":{"connector":"postgresql","ts_ms":1,"lsn":1}}', "unknown operation"),
        (b'{"op":"t","source":{"connector":"postgresql","ts_ms":1,"lsn":1}}', "empties the table"),
        (b'{"op":"c","source":{"connector":"mysql","ts_ms":1}}', "other connectors"),
    ],
)
def test_other_records_become_dead_letters(value: bytes, reason: str) -> None:
    [event] = events_of([(b'{"line_id": 1}', value)])
    assert reason in event["reason"]
    assert isinstance(parse(msgspec.json.encode(event), BROKER_MS), Rejected)


def test_a_logical_message_is_no_change() -> None:
    assert events_of([(b"{}", b'{"op":"m"}')]) == []


def test_a_table_without_a_key_is_refused() -> None:
    [event] = events_of([(b"", recorded("text")[0][1])])
    assert "primary key" in event["reason"]


@pytest.mark.parametrize(
    ("wrong", "said_of_it"),
    [
        ({"fill": ["created_at"]}, "has no fill"),
        ({"decimal": ","}, "its decimal is"),
        ({"columns": MAPPING.columns | {"brand": ["maker"]}}, "the table has no column maker"),
    ],
    ids=["fill", "decimal", "column"],
)
def test_a_mapping_that_does_not_fit_stops(wrong: dict[str, Any], said_of_it: str) -> None:
    with pytest.raises(BadFile, match=said_of_it):
        events_of(recorded("text"), msgspec.structs.replace(MAPPING, **wrong))


def test_a_time_without_a_zone_is_in_the_mapping_s() -> None:
    columns = MAPPING.columns | {"event_time": ["booked"]}
    berlin = msgspec.structs.replace(MAPPING, columns=columns, zone="Europe/Berlin")
    times = {form: events_of([recorded(form)[0]], berlin)[0]["event_time"] for form in FORMS}
    assert set(times.values()) == {"2026-03-13 10:14:00 UTC"}
