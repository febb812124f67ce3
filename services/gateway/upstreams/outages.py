"""Outages of upstreams: the full error goes to the log, a short reason without addresses to the clients."""

import logging

import httpx
from aiokafka.errors import KafkaTimeoutError, RequestTimedOutError
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

logger = logging.getLogger(__name__)

_SLOW = (
    TimeoutError,
    httpx.TimeoutException,
    ConnectTimeoutError,
    ReadTimeoutError,
    KafkaTimeoutError,
    RequestTimedOutError,
    RedisTimeoutError,
)
_REFUSALS = (ClientError, AuthenticationError, ResponseError)


def short_reason(error: Exception) -> str:
    """`timed out`, `refused` where the upstream responds with an error, else `unreachable`."""
    if isinstance(error, _SLOW):
        return "timed out"
    return "refused" if isinstance(error, _REFUSALS) else "unreachable"


class OutageLog:
    """Logs the start and the end of each outage once, however often the upstream is polled."""

    def __init__(self) -> None:
        self._logged: dict[str, str] = {}

    def started(self, upstream: str, error: Exception) -> str:
        """Log the error, unless it is the one logged last; returns the short reason."""
        message = f"{type(error).__name__}: {error}"
        if self._logged.get(upstream) != message:
            self._logged[upstream] = message
            logger.warning("%s does not answer: %s", upstream, message, extra={"upstream": upstream})
        return short_reason(error)

    def recovered(self, upstream: str) -> None:
        """Log the end of an outage, if there was one."""
        if self._logged.pop(upstream, None) is not None:
            logger.info("%s answers again", upstream, extra={"upstream": upstream})
