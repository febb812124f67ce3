"""Calls S3 from async code, in threads, with retries until S3 answers."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from services.common.metrics import ARCHIVER_S3_FAILURES
from services.common.storage_errors import NoSuchObject
from services.common.telemetry import Health

logger = logging.getLogger(__name__)

# NoSuchObject: a competing conditional write may fail after ours was rejected; then the key is free again.
_FAILURES = (BotoCoreError, ClientError, OSError, NoSuchObject)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_THREADS = 8

T = TypeVar("T")


class S3Calls:
    """Retries blocking calls. While S3 fails, the health check `s3` is not ok."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    async def __call__(self, call: Callable[[], T]) -> T:
        """The call's result, however long S3 is unavailable; other errors of the call are raised."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._threads, call)
            except _FAILURES as error:
                self._failed(error, pause_s)
            else:
                self._health.set("s3", True)
                return result
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Accept no more calls; running ones are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _failed(self, error: Exception, pause_s: float) -> None:
        ARCHIVER_S3_FAILURES.inc()
        self._health.set("s3", False, str(error))
        logger.error("S3 failed, retry in %g s: %s", pause_s, error, extra={"retry_after_s": pause_s})
