"""Erasing a customer and the audit log, for the admin. Calls block, unless they say otherwise."""

import asyncio
import logging
import socket
import time
from concurrent.futures import Executor
from http import HTTPStatus

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from services.common import audit
from services.common.audit import Action, Entry, entry_of
from services.common.conditional_write import Contended
from services.common.erasure_list import BadErasureList, add_erased
from services.common.object_store import ObjectStore
from services.gateway.api.problems import Problem

logger = logging.getLogger(__name__)


class PrivacyDesk:
    """Changes the list of erased customers, and reads and writes the audit log."""

    def __init__(self, store: ObjectStore, threads: Executor) -> None:
        self._store = store
        self.threads = threads

    def erase(self, user_id: str, by: str) -> str:
        """Erase a customer; returns the digest that names them from now on. Raises Problem 409 or 503, and botocore's.

        What cannot be noted ends with an error, and may be asked for again.
        """
        now_ms = _now_ms()
        try:
            digest = add_erased(self._store, user_id, now_ms).hex()
        except Contended as error:
            raise Problem(HTTPStatus.CONFLICT, f"{error}: try again") from None
        except BadErasureList as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        audit.note(self._store, entry_of(by, Action.ERASE, digest, now_ms, "the bucket follows with the sweep"), now_ms)
        return digest

    def entries(self, limit: int) -> list[Entry]:
        """The newest entries of the audit log. Raises Problem 503, and botocore's."""
        try:
            return audit.newest(self._store, limit)
        except msgspec.DecodeError as damage:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"an entry of the audit log is damaged: {damage}") from None

    async def note_keys(self, changes: str) -> bool:
        """Add a change of the API keys. False where the store does not take it."""
        try:
            await asyncio.get_running_loop().run_in_executor(self.threads, self._note_keys, changes)
        except (BotoCoreError, ClientError) as error:
            logger.error("a change of the API keys is not in the audit log yet: %s", error)
            return False
        return True

    def _note_keys(self, changes: str) -> None:
        now_ms = _now_ms()
        by = f"the file of keys, as read by gateway {socket.gethostname()}"
        audit.note(self._store, entry_of(by, Action.KEYS, "", now_ms, changes), now_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
