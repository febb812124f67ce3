"""When a canary shows, when it is lost, and that a client sends none."""

from collections.abc import Mapping

from services.common.canary import encode_canary
from services.common.events import Reason, Rejected
from services.gateway.queries.figures import Totals
from services.gateway.stream.canary import LOST_AFTER_SECONDS, CanaryWatch
from services.gateway.stream.shop_state import ShopState
from services.gateway.upstreams.event_intake import Acknowledged, read_events
from tests.support.metrics import growth

STAGES = ("log", "figures", "recommender")


class Stage:
    """A watch with partitions 0 and 1, whose records get the next offset of one log."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.as_of_ms: int | None = 0
        self.acknowledges = True
        self.sent: list[int] = []
        self.watch = CanaryWatch(self._send, lambda: (0, 1), lambda: self.as_of_ms, lambda: self.now_s)
        self._shown = {stage: growth("gateway_canary_seconds_count", stage=stage) for stage in STAGES}
        self._lost = {stage: growth("gateway_canaries_lost_total", stage=stage) for stage in STAGES}

    async def _send(self, value: bytes, partition: int) -> Acknowledged | None:
        self.sent.append(partition)
        return Acknowledged(partition, len(self.sent), 1_000 * len(self.sent)) if self.acknowledges else None

    def look(self, applied: Mapping[int, int] | None) -> None:
        totals = Totals(0, 0, 0, 0, 0, None, None, None, None)
        state = None if applied is None else ShopState(0, totals, 0, None, None, None, applied=applied)
        self.watch.on_shop_state(state)

    @property
    def shown(self) -> dict[str, float]:
        return {stage: grown() for stage, grown in self._shown.items()}

    @property
    def lost(self) -> dict[str, float]:
        return {stage: grown() for stage, grown in self._lost.items()}


async def test_a_canary_shows_once_what_lies_before_it_is_in() -> None:
    stage = Stage()
    await stage.watch.send()
    (partition,) = stage.sent
    stage.look({partition: 1, 1 - partition: 9})
    assert stage.shown == {"log": 1, "figures": 0, "recommender": 0}
    stage.look(None)
    stage.look({partition: 2})
    assert stage.shown == {"log": 1, "figures": 1, "recommender": 0}
    stage.as_of_ms = 1_000
    for _ in range(2):
        stage.look({partition: 2})
    assert stage.shown == {"log": 1, "figures": 1, "recommender": 1}
    stage.now_s += LOST_AFTER_SECONDS
    stage.look(None)
    assert stage.lost == dict.fromkeys(STAGES, 0)


async def test_partitions_take_turns() -> None:
    stage = Stage()
    for _ in range(4):
        await stage.watch.send()
    assert sorted(stage.sent) == [0, 0, 1, 1]


async def test_lost_after_a_minute_and_once() -> None:
    stage = Stage()
    await stage.watch.send()
    stage.now_s += LOST_AFTER_SECONDS - 1
    stage.look({})
    assert stage.lost == dict.fromkeys(STAGES, 0)
    stage.now_s += 1
    for _ in range(2):
        stage.look({})
    assert stage.lost == {"log": 0, "figures": 1, "recommender": 1}


async def test_where_no_recommender_follows_the_stream_none_loses_a_canary() -> None:
    stage = Stage()
    stage.as_of_ms = None
    await stage.watch.send()
    stage.now_s += LOST_AFTER_SECONDS
    stage.look({0: 9, 1: 9})
    assert (stage.lost["recommender"], stage.shown["figures"]) == (0, 1)


async def test_what_the_brokers_do_not_acknowledge_is_lost_at_once() -> None:
    stage = Stage()
    stage.acknowledges = False
    await stage.watch.send()
    assert stage.lost == {"log": 1, "figures": 0, "recommender": 0}


def test_a_client_sends_no_canary() -> None:
    (sent,) = read_events(encode_canary("c"))
    assert isinstance(sent.outcome, Rejected)
    assert sent.outcome.reason is Reason.MISSING_FIELD
