"""How many requests a key, a person, or an address without either may make in a minute."""

import hashlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import Scope

from services.common.metrics import GATEWAY_RATE_LIMITED, GATEWAY_RATES_SHARED
from services.common.redis_client import REDIS_ERRORS, RedisClient
from services.gateway.access.roles import Principal
from services.gateway.api.fair_share import owner_of
from services.gateway.api.problems import Problem

logger = logging.getLogger(__name__)

_WINDOW_S = 60
_MAX_OWNERS = 10_000
# Replicas report an owner once it has made such a part of what it may: most never do.
_WORTH_REPORTING = 0.05
_KEPT_S = 2 * _WINDOW_S


@dataclass(slots=True)
class _Count:
    limit: int
    own: int = 0
    reported: int = 0
    elsewhere: int = 0


class RequestRates:
    """Counts the requests of each owner in a minute of the clock. The oldest of 10,000 owners is forgotten."""

    def __init__(self, per_minute: int | None, clock: Callable[[], float] = time.time) -> None:
        """`per_minute`: of who has no limit of their own; None limits them not at all."""
        self._per_minute = per_minute
        self._clock = clock
        self._window = 0
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def admit(self, scope: Scope, principal: Principal | None) -> None:
        """Count a request: of a key or person, or of an address where nobody says who asks. Raises Problem 429."""
        kind, name = _owner(scope, principal)
        own = None if principal is None else principal.requests_per_minute
        wait_s = self.spend(f"{kind} {name}", own)
        if wait_s is not None:
            GATEWAY_RATE_LIMITED.labels(kind).inc()
            detail = f"this {kind} has made {own or self._per_minute:,} requests within a minute"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, {"Retry-After": str(wait_s)})

    def spend(self, owner: str, own_limit: int | None = None) -> int | None:
        """Count one request; None, or whole seconds to wait where the owner has none left of its own limit."""
        limit = own_limit or self._per_minute
        if limit is None:
            return None
        count = self._count(owner, limit)
        if count.own + count.elsewhere >= limit:
            return int((self._window + 1) * _WINDOW_S - self._clock()) + 1
        count.own += 1
        return None

    def _count(self, owner: str, limit: int) -> _Count:
        self._begin_window()
        count = self._counts.pop(owner, None) or _Count(limit)
        count.limit = limit  # a key's may change while it is used
        self._counts[owner] = count
        while len(self._counts) > _MAX_OWNERS:
            self._counts.popitem(last=False)
        return count

    def _begin_window(self) -> None:
        window = int(self._clock() // _WINDOW_S)
        if window != self._window:
            self._window = window
            self._counts.clear()

    async def share(self, redis: RedisClient) -> None:
        """Add what was counted here to what all replicas counted, and learn the sum. Raises RedisError."""
        self._begin_window()
        due = {
            owner: (count, count.own)
            for owner, count in self._counts.items()
            if count.own >= count.limit * _WORTH_REPORTING
        }
        if not due:
            return
        pipeline = redis.pipeline(transaction=False)
        for owner, (count, own) in due.items():
            key = _key(self._window, owner)
            pipeline.incrby(key, own - count.reported)
            pipeline.expire(key, _KEPT_S)
        sums = (await pipeline.execute())[::2]
        for (count, own), total in zip(due.values(), sums, strict=True):
            count.reported, count.elsewhere = own, int(total) - own


def _owner(scope: Scope, principal: Principal | None) -> tuple[str, str]:
    if principal is None:
        return "address", owner_of(scope)
    return ("person" if principal.subject else "key"), str(principal)


def _key(window: int, owner: str) -> str:
    # A hash, for an address is a person's.
    return f"rates:{window}:{hashlib.sha256(owner.encode()).hexdigest()[:32]}"


class SharedRates:
    """Shares the counts of one replica by Redis. While Redis is away each replica counts for itself."""

    def __init__(self, rates: RequestRates, redis: RedisClient) -> None:
        self._rates = rates
        self._redis = redis
        self._shared = True
        GATEWAY_RATES_SHARED.set(math.nan)  # until the first time; for ever where replicas are not asked to share

    async def refresh(self) -> None:
        """Share once."""
        try:
            await self._rates.share(self._redis)
            shared = True
        except REDIS_ERRORS as error:
            shared = False
            if self._shared:
                logger.warning("each replica counts requests for itself: %s", error)
        self._shared = shared
        GATEWAY_RATES_SHARED.set(shared)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
