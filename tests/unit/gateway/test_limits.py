"""What bounds the work of many clients: fair places, shared reads, turnstiles, clients that have left."""

import asyncio
from typing import Any

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect

from services.gateway.api.fair_share import FairShare, NoPlace, network_of
from services.gateway.api.presence import Turnstile, while_present
from services.gateway.api.problems import Problem
from services.gateway.queries.shared_read import SharedRead


def test_the_owner_with_the_most_makes_room_with_its_newest() -> None:
    share: FairShare[str] = FairShare(4)
    for member in ("a1", "a2", "a3"):
        assert share.enter("a", member) is None
    assert share.enter("b", "b1") is None
    with pytest.raises(NoPlace):
        share.enter("a", "a4")
    assert share.enter("b", "b2") == "a3"
    with pytest.raises(NoPlace):
        share.enter("b", "b3")
    assert len(share) == 4


def test_nobody_is_displaced_for_an_equal_share() -> None:
    share: FairShare[str] = FairShare(2)
    share.enter("a", "a1")
    share.enter("b", "b1")
    for owner in ("a", "b", "c"):
        with pytest.raises(NoPlace):
            share.enter(owner, "more")
    share.leave("a", "a1")
    share.leave("a", "a1")
    assert len(share) == 1
    assert share.enter("c", "c1") is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("a socket", "a socket"),
    ],
)
def test_an_ipv6_client_is_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_a_read_is_shared_and_outlives_a_reader_that_leaves() -> None:
    done = asyncio.Event()

    async def read() -> int:
        await done.wait()
        return 7

    shared = SharedRead(read())
    leaving, staying = asyncio.create_task(shared.result()), asyncio.create_task(shared.result())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    assert shared.under_way
    done.set()
    assert await staying == 7
    assert not shared.failed


async def test_a_read_ends_when_its_last_reader_leaves() -> None:
    ended = asyncio.Event()

    async def read() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    shared = SharedRead(read())
    readers = [asyncio.create_task(shared.result()) for _reader in range(2)]
    await asyncio.sleep(0)
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)
    assert shared.failed
    assert not shared.under_way
    await asyncio.wait_for(ended.wait(), 60)


async def test_a_failed_read_is_not_kept() -> None:
    async def read() -> None:
        raise ValueError("no")

    shared = SharedRead(read())
    with pytest.raises(ValueError, match="no"):
        await shared.result()
    assert shared.failed


async def test_a_turnstile_bounds_what_runs_and_what_waits() -> None:
    turnstile = Turnstile(at_once=1, waiting=1, detail="too many")
    go = asyncio.Event()
    running = 0

    async def work() -> None:
        nonlocal running
        async with turnstile:
            running += 1
            await go.wait()
            running -= 1

    first, second = asyncio.create_task(work()), asyncio.create_task(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert running == 1
    with pytest.raises(Problem) as refused:
        await work()
    assert refused.value.status_code == 503
    second.cancel()
    await asyncio.wait([second])
    go.set()
    await asyncio.gather(first, work())


def request_of(messages: "asyncio.Queue[dict[str, Any]]") -> Request:
    return Request({"type": "http", "headers": []}, messages.get)


async def test_work_ends_with_its_client() -> None:
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asking = asyncio.create_task(while_present(request_of(messages), work()))
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await asyncio.sleep(0.01)
    assert not asking.done()
    messages.put_nowait({"type": "http.disconnect"})
    with pytest.raises(ClientDisconnect):
        await asking
    await asyncio.wait_for(ended.wait(), 60)


async def test_work_has_a_time() -> None:
    with pytest.raises(Problem) as refused:
        await while_present(request_of(asyncio.Queue()), asyncio.Event().wait(), seconds=0.01)
    assert refused.value.status_code == 503
    assert refused.value.headers == {"Retry-After": "1"}


async def test_an_error_of_the_work_is_the_answer() -> None:
    async def work() -> None:
        raise Problem(404, "nothing")  # type: ignore[arg-type]

    with pytest.raises(Problem, match="nothing"):
        await while_present(request_of(asyncio.Queue()), work())
