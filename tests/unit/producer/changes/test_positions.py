"""Where a topic of changes is read from: what is lost is said, never passed over."""

import pytest

from services.producer.changes.follow import changes_consumer, loss
from services.producer.settings import ProducerSettings


@pytest.mark.parametrize(
    ("offset", "begin", "end", "said"),
    [
        (-1, 0, 9, ""),  # a first start
        (-1, 3, 9, "no position"),
        (2, 3, 9, "lay between is lost"),
        (3, 3, 9, ""),
        (9, 3, 9, ""),
        (5000, 0, 300, "a new topic"),
    ],
)
def test_a_loss_is_seen(offset: int, begin: int, end: int, said: str) -> None:
    how = loss(offset, begin, end)
    assert said in how
    assert bool(how) == bool(said)


async def test_no_offset_is_chosen_by_the_client() -> None:
    consumer = changes_consumer(ProducerSettings(kafka_bootstrap="127.0.0.1:9"), "group")
    await consumer.stop()
    assert consumer._auto_offset_reset == "none"
