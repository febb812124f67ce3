"""Reconciliation: the batch job's newest comparison with the live figures, polled from S3 in the background."""

import asyncio
import time
from concurrent.futures import Executor
from datetime import datetime

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from services.common.metrics import (
    RECONCILIATION_AGE_SECONDS,
    RECONCILIATION_DIFFERENCES,
    RECONCILIATION_DRIFT_CENTS,
    RECONCILIATION_DRIFT_EVENTS,
)
from services.common.money import parse_cents
from services.common.object_store import ObjectStore
from services.common.reconciliation import LATEST, Reconciliation, in_words
from services.common.storage_errors import NoSuchObject
from services.gateway.api.schemas.reconciliation import ReconciliationResponse
from services.gateway.upstreams.outages import OutageLog

_UNKNOWN = float("nan")
_UPSTREAM = "the latest reconciliation in reports/"


class ReconciliationPoller:
    """Polls the newest comparison. Keeps the last one while S3 is unavailable or the newest is damaged."""

    def __init__(self, store: ObjectStore, threads: Executor) -> None:
        self._store = store
        self._threads = threads
        self._outages = OutageLog()
        self._found: ReconciliationResponse | None = None
        self._reason = "the comparison has not been read yet"
        RECONCILIATION_AGE_SECONDS.set_function(self._age)
        self._publish_metrics()

    async def refresh(self) -> None:
        """Read once."""
        try:
            body = await asyncio.get_running_loop().run_in_executor(self._threads, self._store.get, LATEST)
            self._found = read_comparison(body)
        except NoSuchObject:
            self._found, self._reason = None, "the batch job has not compared the books yet"
        except (BotoCoreError, ClientError) as error:
            self._reason = f"the store that holds the comparison: {self._outages.started(_UPSTREAM, error)}"
            return
        except ValueError as error:
            self._outages.started(_UPSTREAM, error)
            self._reason = "the comparison is damaged; the next run of the batch job replaces it"
            return
        self._outages.recovered(_UPSTREAM)
        self._publish_metrics()

    def response(self) -> ReconciliationResponse:
        """As the route responds."""
        return self._found or ReconciliationResponse(status="none", message=self._reason)

    def _publish_metrics(self) -> None:
        found = self._found
        drift = found.drift if found else None
        RECONCILIATION_DRIFT_CENTS.set(parse_cents(drift.revenue) if drift else _UNKNOWN)
        RECONCILIATION_DRIFT_EVENTS.set(_UNKNOWN if drift is None or drift.events is None else drift.events)
        RECONCILIATION_DIFFERENCES.set(found.differing if found else _UNKNOWN)

    def _age(self) -> float:
        if self._found is None or self._found.checked_at is None:
            return _UNKNOWN
        return time.time() - datetime.fromisoformat(self._found.checked_at).timestamp()


def read_comparison(body: bytes) -> ReconciliationResponse:
    """The response from the batch job's report. Raises ValueError where it is damaged."""
    try:
        found = msgspec.json.decode(body, type=Reconciliation)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    datetime.fromisoformat(found.checked_at)
    fields = msgspec.to_builtins(found)
    del fields["snapshot"]
    return ReconciliationResponse(message=in_words(found), **fields)
