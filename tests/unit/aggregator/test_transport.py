"""Whether a fetched batch is still current, and how fetches are paced."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace

import pytest
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from services.aggregator import transport
from services.aggregator.transport import BatchConsumer, FetchedBatch, FetchedRecords, FetchTimings

PLACE = TP("purchases", 0)


@pytest.fixture
def make_consumer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., BatchConsumer]:
    """Consumers without a broker; calls to Faust's own methods have no effect."""

    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(driver.Consumer, "__init__", lambda self: None)
    monkeypatch.setattr(driver.Consumer, "perform_seek", nothing)
    monkeypatch.setattr(driver.Consumer, "seek_wait", nothing)
    return BatchConsumer


class Clock:
    """Time that passes by sleeping alone, however slow the machine is."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(transport, "time", clock)
    monkeypatch.setattr(transport, "asyncio", SimpleNamespace(sleep=clock.sleep))
    return clock


@pytest.fixture
def consumer(make_consumer: Callable[..., BatchConsumer]) -> BatchConsumer:
    return make_consumer()


def fetched_now(consumer: BatchConsumer) -> FetchedBatch:
    return FetchedBatch((consumer.resets, consumer._seeks[PLACE]), [], 0)


async def test_a_batch_is_no_longer_current_when_faust_has_gone_to_the_committed_offsets(
    consumer: BatchConsumer,
) -> None:
    before = fetched_now(consumer)
    assert consumer.is_current(PLACE, before)
    await consumer.perform_seek()
    assert not consumer.is_current(PLACE, before)
    assert consumer.is_current(PLACE, fetched_now(consumer))


async def test_a_partition_revoked_in_mid_seek_keeps_no_other_from_its_place(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = TP("purchases", 1)
    sought: dict[TP, int] = {}

    async def seek_wait(_: object, positions: Mapping[TP, int]) -> None:
        if gone in positions:
            raise IllegalStateError(f"no current assignment for partition {gone}")
        sought.update(positions)

    monkeypatch.setattr(driver.Consumer, "seek_wait", seek_wait)
    before = fetched_now(consumer)
    await consumer.go_to({gone: 7, PLACE: 5})
    assert sought == {PLACE: 5}
    assert not consumer.is_current(PLACE, before)


async def test_going_to_an_offset_concerns_one_partition(consumer: BatchConsumer) -> None:
    before = fetched_now(consumer)
    await consumer.go_to({TP("purchases", 1): 5})
    assert consumer.is_current(PLACE, before)
    await consumer.go_to({PLACE: 5})
    assert not consumer.is_current(PLACE, before)


async def waits(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch, full: set[TP], others: set[TP]
) -> list[float]:
    """How long a fetch may wait, given the partitions with and without room; nothing where none is asked."""
    asked: list[float] = []

    async def wait_next_records(_: object, timeout: float) -> tuple[dict[TP, list[object]], set[TP]]:  # noqa: ASYNC109
        asked.append(timeout)
        return {}, others

    app = SimpleNamespace(consumer_generation_id=1)
    for name, value in {"app": app, "_buffered_partitions": full, "_active_partitions": others}.items():
        monkeypatch.setattr(consumer, name, value, raising=False)
    monkeypatch.setattr(driver.Consumer, "_wait_next_records", wait_next_records)
    assert [message async for message in consumer.getmany(timeout=0.2)] == []
    return asked


async def test_a_partition_that_has_room_again_does_not_wait_for_records_of_others(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = TP("dead-letters", 0)
    assert await waits(consumer, monkeypatch, full=set(), others={PLACE, quiet}) == [0.2]
    (wait,) = await waits(consumer, monkeypatch, full={PLACE}, others={quiet})
    assert wait < 0.05


async def test_nothing_is_fetched_while_no_partition_has_room(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    began = clock.now
    assert await waits(consumer, monkeypatch, full={PLACE}, others=set()) == []
    assert 0 < clock.now - began < 0.05, "Faust would sleep for a second"


def one_record() -> FetchedRecords:
    records = FetchedRecords([object()])
    records.end = 1
    return records


async def test_in_busy_times_lines_are_gathered_and_the_first_after_a_pause_does_not_wait(
    make_consumer: Callable[..., BatchConsumer], monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    fetched = iter([{PLACE: one_record()}, {PLACE: one_record()}, {}, {PLACE: one_record()}])
    fetched_at: list[float] = []

    async def wait_next_records(*_: object) -> tuple[dict[TP, FetchedRecords], set[TP]]:
        fetched_at.append(clock.now)
        return next(fetched), {PLACE}

    consumer = make_consumer(timings=FetchTimings(gather_s=1.0))
    app = SimpleNamespace(consumer_generation_id=1)
    for name, value in {"app": app, "_buffered_partitions": set(), "flow_active": True}.items():
        monkeypatch.setattr(consumer, name, value, raising=False)
    monkeypatch.setattr(driver.Consumer, "should_stop", False)
    monkeypatch.setattr(driver.Consumer, "_wait_next_records", wait_next_records)
    monkeypatch.setattr(driver.Consumer, "_to_message", lambda *_: SimpleNamespace())
    counts = [len([message async for message in consumer.getmany(timeout=0.2)]) for _fetch in range(4)]
    assert counts == [1, 1, 0, 1]
    assert fetched_at == pytest.approx([1_000, 1_001, 1_002, 1_002])
