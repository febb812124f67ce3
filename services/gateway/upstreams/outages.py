"""Why a part does not answer: the error's own words for the log, a short reason without addresses for everybody."""

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
    """`timed out`, `refused` where the part answers with an error, else `unreachable`."""
    if isinstance(error, _SLOW):
        return "timed out"
    return "refused" if isinstance(error, _REFUSALS) else "unreachable"


class OutageLog:
    """Logs each outage of a part once, however often the part is asked meanwhile."""

    def __init__(self) -> None:
        self._logged: dict[str, str] = {}

    def started(self, part: str, error: Exception) -> str:
        """The short reason; the error's words go to the log where they are new."""
        words = f"{type(error).__name__}: {error}"
        if self._logged.get(part) != words:
            self._logged[part] = words
            logger.warning("%s does not answer: %s", part, words)
        return short_reason(error)

    def recovered(self, part: str) -> None:
        """The part answers."""
        if self._logged.pop(part, None) is not None:
            logger.info("%s answers again", part)
