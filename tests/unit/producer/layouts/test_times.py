"""Times as exports write them, and dates that could be two."""

import pytest

from services.producer.layouts.times import (
    DateOrder,
    has_time_of_day,
    names_zone,
    possible_orders,
    seed_time,
    undecided,
    zone_name,
)

BY_YEAR, BY_DAY, BY_MONTH = DateOrder.YEAR_FIRST, DateOrder.DAY_FIRST, DateOrder.MONTH_FIRST


@pytest.mark.parametrize(
    ("text", "order", "zone", "seed"),
    [
        ("2026-03-01 10:14:05 -0500", BY_YEAR, "UTC", "2026-03-01 15:14:05 UTC"),
        ("2026-03-01T10:14:05+01:00", BY_YEAR, "UTC", "2026-03-01 09:14:05 UTC"),
        ("2026-03-01T10:14:05.1234567Z", BY_YEAR, "UTC", "2026-03-01T10:14:05.123Z"),
        ("2026-03-01 09:00:00+00", BY_YEAR, "UTC", "2026-03-01 09:00:00 UTC"),
        ("2020-04-24 11:50:39 UTC", BY_YEAR, "Europe/Berlin", "2020-04-24 11:50:39 UTC"),
        ("2026-07-01 10:00", BY_YEAR, "Europe/Berlin", "2026-07-01 08:00:00 UTC"),
        ("12/1/2010 8:26", BY_MONTH, "Europe/London", "2010-12-01 08:26:00 UTC"),
        ("1.12.2010 8:26", BY_DAY, "UTC", "2010-12-01 08:26:00 UTC"),
        ("03/04/24 12:01 am", BY_DAY, "UTC", "2024-04-03 00:01:00 UTC"),
        ("Mar 3, 2024 at 3:04 PM", BY_YEAR, "UTC", "2024-03-03 15:04:00 UTC"),
        ("Fri, 01 March 2024 10:00", BY_YEAR, "UTC", "2024-03-01 10:00:00 UTC"),
        ("20240301", BY_YEAR, "UTC", "2024-03-01 00:00:00 UTC"),
        ("1709287445", BY_YEAR, "UTC", "2024-03-01 10:04:05 UTC"),
        ("1709287445123", BY_YEAR, "UTC", "2024-03-01T10:04:05.123Z"),
        ("2025-10-26 02:30:00", BY_YEAR, "Europe/Berlin", "2025-10-26 00:30:00 UTC"),  # the first of two
    ],
)
def test_a_time_becomes_the_seed_s(text: str, order: DateOrder, zone: str, seed: str) -> None:
    assert seed_time(text, order, zone) == seed


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-02-30", "2026-01-01 25:00", "31/31/2024", "13:00 pm", "3 Foo 2024", "12345"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert [seed_time(text, order, "UTC") for order in DateOrder] == [None] * 3


@pytest.mark.parametrize(
    ("texts", "orders"),
    [
        (["2024-01-02", "no time"], [BY_YEAR]),
        (["03/04/2024", "17/04/2024"], [BY_DAY]),
        (["03/04/2024", "04/17/2024"], [BY_MONTH]),
        (["03/04/2024"], [BY_DAY, BY_MONTH]),
        (["03/03/2024"], [BY_DAY, BY_MONTH]),  # the next day decides
        (["17/04/2024", "04/17/2024"], [BY_DAY, BY_MONTH]),  # a contradiction
    ],
)
def test_the_other_dates_decide_or_nothing_does(texts: list[str], orders: list[DateOrder]) -> None:
    assert possible_orders(texts) == orders


def test_what_a_time_says() -> None:
    assert undecided(["2024-01-01", "x", "03/04/2024"]) == "03/04/2024"
    assert [names_zone(text) for text in ("2024-01-01 10:00", "2024-01-01 10:00 +0100", "1709287445")] == [
        False,
        True,
        True,
    ]
    assert [has_time_of_day(text) for text in ("2024-01-01", "2024-01-01 10:00")] == [False, True]
    assert zone_name("Pacific Time (US & Canada)") == "America/Los_Angeles"
    assert zone_name("Europe/Berlin") == "Europe/Berlin"
    assert zone_name("Mars/Olympus") is None
