"""The canary: a record sent every few seconds on the way of a purchase, and how long it takes to show on that way.

Stages, each in seconds from sending: `log` (the brokers have acknowledged it), `figures` (the figures that pages and
routes show hold everything up to it), `recommender` (the recommender that was asked last has read it).
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from services.common.canary import encode_canary
from services.common.metrics import GATEWAY_CANARIES, GATEWAY_CANARIES_LOST, GATEWAY_CANARY_SECONDS
from services.gateway.stream.shop_state import ShopState
from services.gateway.upstreams.event_intake import Acknowledged

LOST_AFTER_SECONDS = 60.0
Stage = Literal["log", "figures", "recommender"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Send = Callable[[bytes, int], Awaitable[Acknowledged | None]]


@dataclass(slots=True)
class _Waiting:
    """A canary that has not shown in a stage yet."""

    stage: Stage
    sent_at: float
    record: Acknowledged


class CanaryWatch:
    """Sends canaries to one partition after the other, and notes when each of them shows."""

    def __init__(
        self,
        send: Send,
        partitions: Callable[[], Iterable[int]],
        recommender_as_of_ms: Callable[[], int | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`recommender_as_of_ms`: up to which broker time a recommender has read; None while that is not known."""
        self._send = send
        self._partitions = partitions
        self._recommender_as_of_ms = recommender_as_of_ms
        self._clock = clock
        self._sent = 0
        self._waiting: list[_Waiting] = []
        for stage in STAGES:  # at 0, so that the first loss is an increase
            GATEWAY_CANARIES_LOST.labels(stage)

    async def send(self) -> None:
        """Send one canary."""
        sent_at, partitions = self._clock(), sorted(self._partitions())
        GATEWAY_CANARIES.inc()
        record = await self._send_to(partitions)
        if record is None:
            self._lose("log")
            return
        GATEWAY_CANARY_SECONDS.labels("log").observe(self._clock() - sent_at)
        self._waiting += [_Waiting("figures", sent_at, record), _Waiting("recommender", sent_at, record)]

    async def _send_to(self, partitions: Sequence[int]) -> Acknowledged | None:
        if not partitions:
            return None
        self._sent += 1
        return await self._send(encode_canary(secrets.token_hex(8)), partitions[self._sent % len(partitions)])

    def on_shop_state(self, state: ShopState | None) -> None:
        """Note what the figures of this second, and the recommender, have reached."""
        now, as_of_ms = self._clock(), self._recommender_as_of_ms()
        self._waiting = [waiting for waiting in self._waiting if not self._settled(waiting, state, as_of_ms, now)]

    def _settled(self, waiting: _Waiting, state: ShopState | None, as_of_ms: int | None, now: float) -> bool:
        if _shows(waiting, state, as_of_ms):
            GATEWAY_CANARY_SECONDS.labels(waiting.stage).observe(now - waiting.sent_at)
            return True
        if now - waiting.sent_at < LOST_AFTER_SECONDS:
            return False
        # Without a recommender, or without a model that follows the stream, there is nothing to show in.
        if waiting.stage == "figures" or as_of_ms is not None:
            self._lose(waiting.stage)
        return True

    @staticmethod
    def _lose(stage: Stage) -> None:
        GATEWAY_CANARIES_LOST.labels(stage).inc()


def _shows(waiting: _Waiting, state: ShopState | None, as_of_ms: int | None) -> bool:
    record = waiting.record
    if waiting.stage == "recommender":
        return as_of_ms is not None and as_of_ms >= record.timestamp_ms
    return state is not None and state.applied.get(record.partition, 0) > record.offset
