"""Follows a run to its end."""

import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from spark.submit.runs import Platform, PlatformAway, RunStatus, SubmitError

_SILENT_S = 60.0  # a run that changes nothing is mentioned so often
_FAILURES = 10

Say = Callable[[str], None]


def follow(
    platform: Platform, run: str, say: Say, poll_s: float, clock: Callable[[], float] = time.monotonic
) -> RunStatus:
    """Ask until the run is over, and say what changes. Raises SubmitError where the platform does not answer."""
    began = said_at = clock()
    known: RunStatus | None = None
    failures = 0
    while True:
        try:
            status = platform.status(run)
            failures = 0
        except (BotoCoreError, ClientError, PlatformAway) as error:
            failures += 1
            if failures == _FAILURES:
                raise SubmitError(
                    f"the platform has not answered {_FAILURES} times; the run goes on: {error}"
                ) from error
            status = known or RunStatus("unknown")
        now = clock()
        if status != known or now - said_at >= _SILENT_S:
            say(f"[{now - began:6.0f} s] {_text(status)}")
            known, said_at = status, now
        if status.fate:
            return status
        time.sleep(poll_s)


def _text(status: RunStatus) -> str:
    return f"{status.word}: {status.detail}" if status.detail else status.word
