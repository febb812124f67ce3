"""What a batch tells about its place: whether it may be taken as what comes next."""

from collections.abc import Mapping

import pytest
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from services.aggregator.transport import Batch, BatchConsumer

PLACE = TP("purchases", 0)


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> BatchConsumer:
    """A consumer without a broker; what it asks Faust's own for has no effect."""

    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(driver.Consumer, "__init__", lambda self: None)
    monkeypatch.setattr(driver.Consumer, "perform_seek", nothing)
    monkeypatch.setattr(driver.Consumer, "seek_wait", nothing)
    return BatchConsumer()


def fetched_now(consumer: BatchConsumer) -> Batch:
    return Batch((consumer.resets, consumer._seeks[PLACE]), [])


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
