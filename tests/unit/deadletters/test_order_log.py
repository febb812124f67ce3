"""Orders that changed between two exports: what counted, what is gone, what is new."""

import json
from collections.abc import Iterator

from aiokafka import TopicPartition

from services.deadletters.formatting import order_json, order_lines
from services.deadletters.order_log import OrderLog
from tests.support.records import FakeRecord

FIRST, SECOND, THIRD = "1" * 16, "2" * 16, "3" * 16


def line(product: str, digest: str | None, order: str = "o", **more: str) -> bytes:
    event = {
        "event_id": f"{product}-1",
        "event_time": "2020-04-24T11:50:39Z",
        "order_id": order,
        "product_id": product,
        "price": "1.00",
        "order_digest": digest,
    }
    return json.dumps(event | more).encode()


def changed(*values: bytes, wanted: tuple[str, ...] = ("o",)) -> Iterator[tuple[str, list[str]]]:
    log = OrderLog(wanted)
    for offset, value in enumerate(values):
        log.add(
            (TopicPartition("purchases", offset % 2), FakeRecord(offset, value, timestamp=1_600_000_000_000 + offset))
        )
    for order in log.orders():
        yield order.order_id, [f"{state}{purchase.product_id}" for state, _, purchase in order.lines]


def test_lines_are_compared_with_the_newest_export() -> None:
    first = [line(product, FIRST) for product in "abc"]
    second = [line(product, SECOND) for product in "abd"]
    third = [line(product, THIRD) for product in "abe"]
    assert list(changed(*first, *second, *second)) == [("o", ["=a", "=b", "-c", "+d"])]
    assert list(changed(*first, *second, *third)) == [("o", ["=a", "=b", "-c", "+e"])], "d is in no export any more"


def test_a_line_that_no_export_sent_is_not_missed_in_one() -> None:
    till = line("till", None)
    assert list(changed(till, line("a", FIRST), line("a", SECOND), line("b", SECOND))) == [("o", ["=till", "=a", "+b"])]


def test_an_order_whose_new_lines_were_accepted_is_settled() -> None:
    exports = line("a", FIRST), line("a", SECOND), line("b", SECOND)
    replay = line("b", None, replay_of="purchases/0/2")
    assert list(changed(*exports, replay)) == []


def test_other_orders_and_what_is_no_line_are_passed_over() -> None:
    noise = line("x", FIRST, "other"), b"{", b"\xff", b'{"order_id":7}', line("bad", FIRST, price="x")
    assert list(changed(*noise, line("a", FIRST), line("b", SECOND))) == [("o", ["-a", "+b"])]
    assert list(changed(line("a", FIRST))) == []


def test_an_order_is_printed_line_by_line() -> None:
    log = OrderLog(["o"])
    for offset, value in enumerate((line("a", FIRST, user_id="ann"), line("b", SECOND, quantity="2"))):
        log.add((TopicPartition("purchases", 3), FakeRecord(offset, value, timestamp=1_600_000_000_000)))
    (order,) = log.orders()
    assert list(order_lines(order)) == [
        "order o: 0 lines as counted, 1 counted and gone, 1 new and not counted",
        "  - 2020-04-24T11:50:39Z  1 x a  1.00  ann",
        "  + 2020-04-24T11:50:39Z  2 x b  2.00  anonymous",
    ]
    (text,) = order_json(order)
    gone, new = json.loads(text)["lines"]
    assert (gone["state"], gone["partition"], gone["offset"], gone["user_id"]) == ("gone", 3, 0, "ann")
    assert (new["state"], new["revenue"], new["quantity"]) == ("new", "2.00", 2)
