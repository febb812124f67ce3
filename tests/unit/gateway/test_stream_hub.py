"""Server-sent events: framing, bounded queues, slow clients."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from services.common.tables import Figures, TickerLine
from services.gateway.api.problems import Problem
from services.gateway.queries.figures import Totals
from services.gateway.queries.rankings import Board, Ranked
from services.gateway.stream.hub import StreamClient, StreamHub, message
from services.gateway.stream.shop_state import ShopState
from services.gateway.stream.ticker import Arrival, Cursor


def test_a_message_is_framed_as_the_standard_wants() -> None:
    assert message("ticker", b'{"a":1}', ((5, 0), (6, 1))) == b'id: 5-0_6-1\nevent: ticker\ndata: {"a":1}\n\n'


async def drained(client: StreamClient) -> list[bytes]:
    return [chunk async for chunk in client.messages()]


async def test_messages_come_in_order_until_the_end() -> None:
    client = StreamClient(queue_limit=3, send_timeout_s=60)
    assert client.enqueue(b"1")
    assert client.enqueue(b"2")
    messages: AsyncIterator[bytes] = client.messages()
    assert [await anext(messages), await anext(messages)] == [b"1", b"2"]
    client.end("enough")
    assert b"enough" in await anext(messages)
    with pytest.raises(StopAsyncIteration):
        await anext(messages)


async def test_a_client_too_far_behind_loses_its_place_and_learns_why() -> None:
    client = StreamClient(queue_limit=2, send_timeout_s=60)
    assert [client.enqueue(b"x") for _message in range(3)] == [True, True, False]
    client.end("too slow")
    (last,) = await drained(client)
    event, data = last.decode().splitlines()[:2]
    assert event == "event: end"
    assert json.loads(data.removeprefix("data: ")) == {"reason": "too slow"}


async def test_a_client_that_takes_nothing_for_too_long_loses_its_place_long_before_its_queue_is_full() -> None:
    now = 100.0
    stalled, reader, silent = (StreamClient(1_000, send_timeout_s=50, clock=lambda: now) for _client in range(3))
    taken = reader.messages()
    assert stalled.enqueue(b"1")
    assert reader.enqueue(b"1")
    assert reader.enqueue(b"1"), "so that its queue is never empty"
    for _message in range(2):
        now += 40
        await anext(taken)
        assert reader.enqueue(b"2")
    assert not stalled.enqueue(b"2")
    assert silent.enqueue(b"the first for a long time, and no fault of the client's")


async def test_nothing_is_queued_after_the_end() -> None:
    client = StreamClient(queue_limit=2, send_timeout_s=60)
    client.end("bye")
    client.enqueue(b"late")
    assert len(await drained(client)) == 1


class NoArrivals:
    """A ticker on which nothing happens."""

    cursor: Cursor = ((0, 0),)

    def newest(self, count: int) -> list[object]:
        return []

    def since(self, cursor: Cursor) -> list[object]:
        return []


def hub(**limits: float) -> StreamHub:
    settings = {"max_clients": 2, "queue_limit": 4, "send_timeout_s": 60, "max_ticker_lines": 5} | limits
    return StreamHub(NoArrivals(), **settings)  # type: ignore[arg-type]


async def test_too_many_clients_are_refused_and_a_place_is_given_back() -> None:
    streams = hub(max_clients=1)
    first = streams.open(None)
    with pytest.raises(Problem) as refused:
        streams.open(None)
    assert refused.value.status_code == 503
    streams.leave(first)
    streams.open(None)


async def test_a_slow_client_is_dropped_and_the_others_stay() -> None:
    streams = hub()
    slow, quick = streams.open(None), streams.open(None)
    taken = quick.messages()
    for _second in range(6):
        streams.on_shop_state(None)
        await anext(taken)
    (last,) = await drained(slow)
    assert b"too slow" in last
    streams.on_shop_state(None)
    assert b"event: stale" in await anext(taken)


async def test_closing_ends_every_stream_and_takes_no_more() -> None:
    streams = hub()
    client = streams.open(None)
    streams.close()
    (last,) = await drained(client)
    assert b"the gateway stops" in last
    with pytest.raises(Problem):
        streams.open(None)


def arrival(number: int) -> Arrival:
    """A line that came as number `number`."""
    line = TickerLine(
        arrived_at=1_000 + number, event_time=1_000, order_id=f"order-{number}", user_id=None, product_id="product",
        product_name=None, category_code=None, brand=None, price=100, quantity=1, revenue=100,
    )  # fmt: skip
    return Arrival(0, (number, 0), ((number, 0),), line)


def orders(chunk: bytes) -> list[str]:
    """The orders of the ticker events in this message."""
    data = [line.removeprefix("data: ") for line in chunk.decode().splitlines() if line.startswith('data: {"id"')]
    return [json.loads(line)["order_id"] for line in data]


async def test_with_many_clients_arrivals_wait_for_the_next_snapshot() -> None:
    streams = hub(ticker_writes_per_second=1)
    taken = [streams.open(None).messages() for _client in range(2)]
    for messages in taken:
        await anext(messages)
    streams.on_arrivals([arrival(1)])
    streams.on_arrivals([arrival(2)])
    streams.on_arrivals([arrival(3)])
    for messages in taken:
        assert orders(await anext(messages)) == ["order-1"]
    streams.on_shop_state(None)
    for messages in taken:
        both = await anext(messages)
        assert orders(both) == ["order-2", "order-3"]
        assert both.index(b"event: ticker") < both.index(b"event: stale"), "in the order of their ids"


async def test_few_clients_see_each_arrival_at_once() -> None:
    streams = hub(ticker_writes_per_second=10**9)
    messages = streams.open(None).messages()
    await anext(messages)
    for number in range(7):
        streams.on_arrivals([arrival(number)])
        assert orders(await anext(messages)) == [f"order-{number}"]
    streams.on_arrivals([arrival(number) for number in range(10, 17)])
    assert orders(await anext(messages)) == [f"order-{number}" for number in range(12, 17)], "the newest five"


async def test_a_new_client_gets_no_arrival_twice() -> None:
    streams = hub(ticker_writes_per_second=1)
    first = streams.open(None).messages()
    await anext(first)
    streams.on_arrivals([arrival(1)])
    streams.on_arrivals([arrival(2)])
    assert orders(await anext(first)) == ["order-1"]
    second = streams.open(None).messages()
    await anext(second)
    streams.on_shop_state(None)
    assert orders(await anext(first)) == ["order-2"], "sent before the other's first snapshot, which may hold it"
    assert orders(await anext(second)) == []


async def test_a_heartbeat_comes_where_nothing_else_was_sent() -> None:
    streams = hub()
    messages = streams.open(None).messages()
    await anext(messages)
    streams.on_shop_state(None)
    await streams.beat()
    streams.on_shop_state(None)
    assert b"event: stale" in await anext(messages)
    assert b"event: stale" in await anext(messages), "no heartbeat while snapshots come"


async def test_others_get_their_turn_while_many_clients_are_written_to() -> None:
    streams = hub(max_clients=120)
    following = [streams.open(None).messages() for _client in range(120)]
    for messages in following:
        await anext(messages)
    taken: list[bytes] = []

    async def take(messages: AsyncIterator[bytes]) -> None:
        taken.append(await anext(messages))

    taking = [asyncio.create_task(take(messages)) for messages in following]
    await asyncio.sleep(0)
    streams.on_shop_state(None)
    await asyncio.sleep(0)
    assert 0 < len(taken) < 60
    await asyncio.gather(*taking)
    assert all(b"event: stale" in chunk for chunk in taken)


async def test_what_comes_while_clients_are_written_to_goes_out_next_with_the_newest_figures() -> None:
    streams = hub(max_clients=120)
    following = [streams.open(None).messages() for _client in range(120)]
    for messages in following:
        await anext(messages)
    for _second in range(3):
        streams.on_shop_state(None)
    streams.on_arrivals([arrival(1)])
    chunks = [await anext(messages) for messages in following]
    assert not any(map(orders, chunks))
    chunks = [await asyncio.wait_for(anext(messages), 60) for messages in following]
    assert all(orders(chunk) == ["order-1"] and chunk.count(b"event: stale") == 1 for chunk in chunks)
    await asyncio.sleep(0.01)
    assert not any([await waits(messages) for messages in following]), "the second and the third are one"


async def waits(messages: AsyncIterator[bytes]) -> bool:
    """Whether there is another message now."""
    with suppress(TimeoutError):
        await asyncio.wait_for(anext(messages), 0.001)
        return True
    return False


def state(revenue: int, spender: str) -> ShopState:
    """Figures, with one customer and one product on the top lists."""
    top: dict[Board, list[Ranked]] = {
        "spenders": [Ranked(spender, Figures(revenue, 1, 1), 1.0)],
        "products": [Ranked("product", Figures(100, 1, 1), 1.0)],
    }
    return ShopState(0, Totals(revenue=revenue), 0, 0.0, 0, None, top=top)


def data_of(chunk: bytes, event: str) -> dict[str, Any]:
    """The data of the only event of this name."""
    (found,) = re.findall(rf"event: {event}\ndata: (.+)\n\n", chunk.decode())
    return dict(json.loads(found))


async def test_an_update_has_the_figures_and_only_the_lists_that_changed() -> None:
    streams = hub()
    streams.on_shop_state(state(100, "a"))
    taken = streams.open(None).messages()
    await anext(taken)
    streams.on_shop_state(state(100, "a"))
    await anext(taken)
    streams.on_changes(state(200, "b"))
    first = data_of(await anext(taken), "update")
    assert first["summary"]["revenue"] == "2.00"
    assert [row["id"] for row in first["top"].pop("spenders")] == ["b"]
    assert first["top"] == {}
    streams.on_changes(state(300, "b"))
    assert data_of(await anext(taken), "update")["top"].keys() == {"spenders"}, "its revenue has changed"
    streams.on_changes(state(300, "b"))
    assert data_of(await anext(taken), "update")["top"] == {}


async def test_an_update_names_no_persons_to_who_may_not_see_them() -> None:
    streams = hub()
    streams.on_shop_state(state(100, "a"))
    taken = streams.open(None, persons=False).messages()
    await anext(taken)
    streams.on_shop_state(state(100, "a"))
    await anext(taken)
    streams.on_changes(state(200, "b"))
    update = await anext(taken)
    assert data_of(update, "update")["summary"]["revenue"] == "2.00"
    assert data_of(update, "update")["top"] == {}


async def test_an_update_comes_after_the_arrivals_it_counts() -> None:
    streams = hub(ticker_writes_per_second=1)
    taken = [streams.open(None).messages() for _client in range(2)]
    for messages in taken:
        await anext(messages)
    streams.on_arrivals([arrival(1)])
    streams.on_arrivals([arrival(2)])
    streams.on_changes(state(100, "a"))
    for messages in taken:
        assert orders(await anext(messages)) == ["order-1"]
        both = await anext(messages)
        assert orders(both) == ["order-2"]
        assert both.index(b"event: ticker") < both.index(b"event: update")


async def test_no_update_while_messages_are_under_way() -> None:
    streams = hub(max_clients=200)
    taken = [streams.open(None).messages() for _client in range(120)]
    for messages in taken:
        await anext(messages)
    streams.on_shop_state(state(100, "a"))  # takes several turns of the event loop
    streams.on_changes(state(200, "a"))
    for _turn in range(10):
        await asyncio.sleep(0)
    streams.on_shop_state(state(300, "a"))
    for messages in (taken[0], taken[-1]):
        revenues = [data_of(await anext(messages), "snapshot")["summary"]["revenue"] for _second in range(2)]
        assert revenues == ["1.00", "3.00"]


async def test_with_many_clients_updates_are_rare() -> None:
    streams = hub(max_clients=600, ticker_writes_per_second=1_000)
    assert streams.update_interval_s() == 0.1
    for _client in range(500):
        streams.open(None)
    assert streams.update_interval_s() == 0.5
