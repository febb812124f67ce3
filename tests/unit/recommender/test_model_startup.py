"""How long a new model waits for the stream before it answers, and the stream for Kafka."""

import asyncio

import pytest

from services.recommender.model_startup import wait_caught_up
from services.recommender.stream_follower import failures_after, pause_s

PATIENCE_S = 0.2


class Reader:
    """Reads a record every 50 ms: first what is before the cut-off, at a constant lag, then what is behind."""

    def __init__(self, before: int, behind: int, lag: int | None = None) -> None:
        self.records_read = 0
        self.lag = lag
        self.events_per_second = None
        self.caught_up = False
        self._before = before
        self._behind = behind

    def age_ms(self, now_ms: int) -> int | None:
        return None

    async def run(self) -> None:
        for number in range(self._before + self._behind):
            await asyncio.sleep(0.05)
            self.records_read += 1
            self.lag = self._behind - max(0, number + 1 - self._before)
        self.caught_up = True


@pytest.mark.parametrize(("before", "behind", "lag"), [(0, 10, 0), (10, 0, None), (8, 4, 4)])
async def test_a_catch_up_longer_than_the_patience_is_waited_for(before: int, behind: int, lag: int | None) -> None:
    reader = Reader(before, behind, lag)
    reading = asyncio.create_task(reader.run())
    await wait_caught_up("v1", reader, PATIENCE_S)
    assert reader.caught_up
    await reading


@pytest.mark.parametrize(
    ("lag", "words"), [(None, "an unknown number of records of lag"), (7, "with 7 records of lag")]
)
async def test_where_nothing_is_read_the_model_answers_and_says_so(
    lag: int | None, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await wait_caught_up("v1", Reader(0, 1, lag), PATIENCE_S)
    assert PATIENCE_S < loop.time() - began < 100 * PATIENCE_S
    assert words in caplog.text


def test_after_a_healthy_run_kafka_is_asked_again_at_once_and_then_less_and_less_often() -> None:
    pauses, failures = [], 3
    for ran_s in (60.0, 0.1, 0.1, 0.1, 0.1):
        failures = failures_after(failures, ran_s)
        pauses.append(pause_s(failures))
    assert pauses == [0.2, 0.5, 1.0, 2.0, 2.0]
