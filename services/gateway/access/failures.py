"""Wrong credentials are logged and slowed by address."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

from services.common.metrics import GATEWAY_WRONG_KEYS

logger = logging.getLogger(__name__)

_WINDOW_SECONDS = 60.0
_ALLOWED = 10
_MAX_ADDRESSES = 10_000


class Failures:
    """Counts wrong credentials by address and minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Address → (start of its window, wrong credentials since), oldest first.
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str) -> int | None:
        """Seconds to wait where there were too many, else None. Counts nothing."""
        start, count = self._counts.get(address, (0.0, 0))
        left = start + _WINDOW_SECONDS - self._clock()
        return int(left) + 1 if count >= _ALLOWED and left > 0 else None

    def count(self, address: str) -> int | None:
        """Count one; seconds to wait where there were too many, else None."""
        GATEWAY_WRONG_KEYS.inc()
        now = self._clock()
        start, count = self._counts.pop(address, (now, 0))
        if now - start >= _WINDOW_SECONDS:
            start, count = now, 0
        self._counts[address] = (start, count + 1)
        while len(self._counts) > _MAX_ADDRESSES:
            self._counts.popitem(last=False)
        if count < _ALLOWED:  # later ones of this minute would only fill the log
            logger.warning("wrong credentials from %s", address)
        return None if count < _ALLOWED else int(start + _WINDOW_SECONDS - now) + 1
