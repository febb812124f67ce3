"""What a canary is, and what is none."""

import json

import pytest

from services.common.canary import Canary, encode_canary
from services.common.events import Purchase, Reason, Rejected, parse

NOW_MS = 1_700_000_000_000
PURCHASE = {"event_time": "2020-04-24T11:50:39Z", "order_id": "o", "product_id": "p", "price": "1.00"}


@pytest.mark.parametrize("value", [encode_canary("c"), b'{"canary": "c"}', b'{"canary":"c"}\n'])
def test_a_canary(value: bytes) -> None:
    assert parse(value, NOW_MS) == Canary("c")


@pytest.mark.parametrize("canary", ["c", 7, None, {"canary": "c"}])
def test_a_purchase_with_a_field_of_that_name_stays_a_purchase(canary: object) -> None:
    plain = parse(json.dumps(PURCHASE).encode(), NOW_MS)
    assert isinstance(plain, Purchase)
    assert parse(json.dumps({"canary": canary, **PURCHASE}).encode(), NOW_MS) == plain


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"canary":7}', Reason.MISSING_FIELD),
        (b'{"canary":"c","order_id":"o"}', Reason.MISSING_FIELD),
        (b'{"canary":"c"', Reason.NOT_JSON),
        (b'{"canary":"\xff"}', Reason.MISSING_FIELD),
        (b'[{"canary":"c"}]', Reason.NOT_AN_OBJECT),
    ],
)
def test_what_is_not_exactly_a_canary_is_a_dead_letter_as_before(value: bytes, reason: Reason) -> None:
    rejected = parse(value, NOW_MS)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is reason
