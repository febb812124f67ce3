"""Progress while an engine is waited for."""

import pytest
from aiokafka.errors import InvalidReplicationFactorError, KafkaConnectionError, TopicAuthorizationFailedError

from services.provision.topics import is_passing
from services.provision.waiting import NotInTime, Patience, Pulse


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_progress_is_reported_now_and_then_until_the_time_is_over() -> None:
    clock, lines = Clock(), list[str]()
    patience = Patience("Kafka at broker:9092", 20, lines.append, clock)
    for clock.now in range(20):
        patience.on_wait(OSError("refused"))
    assert lines == [
        f"waiting for Kafka at broker:9092, {waited} of 20 s: OSError('refused')" for waited in (0, 5, 10, 15)
    ]
    clock.now = 20
    with pytest.raises(NotInTime, match="Kafka at broker:9092 does not answer after 20 s"):
        patience.on_wait(OSError("refused"))


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (KafkaConnectionError("away"), True),
        (InvalidReplicationFactorError("one of three brokers so far"), True),
        (TimeoutError(), True),
        (TopicAuthorizationFailedError("no"), False),
    ],
)
def test_only_what_may_pass_is_waited_for(error: Exception, passing: bool) -> None:
    assert is_passing(error) is passing


def test_long_work_says_now_and_then_how_far_it_is() -> None:
    clock, said = Clock(), list[str]()
    pulse = Pulse(said.append, clock)
    for clock.now in range(12):
        pulse.at("copying purchases/0", 1_000 * clock.now, 20_000)
    assert said == ["copying purchases/0: 5,000 of 20,000", "copying purchases/0: 10,000 of 20,000"]
