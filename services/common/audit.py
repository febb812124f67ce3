"""The audit log: who changed, exported or erased what. One object an entry, created and never replaced. Calls block.

`audit/YYYY/MM/DD/<epoch ms>-<6 hex>.json`. It holds no secret, and of a person at most a keyed digest.
"""

import getpass
import os
import secrets
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from services.common.conditional_write import encode, put_once
from services.common.object_store import ObjectStore
from services.common.times import format_time

FOLDER = "audit/"


class Action(StrEnum):
    """What was done. The values are part of the contract of the log."""

    ACTIVATE = "model.activate"
    ROLLBACK = "model.rollback"
    VARIANT = "model.variant"
    EXPORT = "customer.export"
    ERASE = "customer.erase"
    SWEEP = "customer.sweep"
    KEYS = "keys.change"


class Entry(msgspec.Struct, frozen=True):
    """One entry. `subject`: a model's version, or the digest of a customer (`erasure_list`)."""

    at: str
    by: str
    action: Action
    subject: str
    detail: str = ""


def note(store: ObjectStore, entry: Entry, now_ms: int) -> None:
    """Add an entry. Raises what the store raises: what cannot be noted should not be done."""
    day = datetime.fromtimestamp(now_ms // 1000, UTC)
    put_once(store, f"{FOLDER}{day:%Y/%m/%d}/{now_ms:013d}-{secrets.token_hex(3)}.json", encode(entry))


def entry_of(by: str, action: Action, subject: str, now_ms: int, detail: str = "") -> Entry:
    """An entry of this moment (epoch ms)."""
    return Entry(format_time(now_ms), by, action, subject, detail)


def command_line_user() -> str:
    """Who runs a command. Where no account has the user id, as in a container that was given one, the id itself."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        name = f"uid {os.getuid()}"
    return f"{name} by command line"


def entries(store: ObjectStore) -> Iterator[Entry]:
    """All entries, the oldest first. Raises msgspec.DecodeError for one that was damaged."""
    for key, _size in store.list(FOLDER):
        yield msgspec.json.decode(store.get(key), type=Entry)


def newest(store: ObjectStore, count: int) -> list[Entry]:
    """The newest entries, the newest first. Raises msgspec.DecodeError."""
    keys = deque((key for key, _size in store.list(FOLDER)), maxlen=count)
    return [msgspec.json.decode(store.get(key), type=Entry) for key in reversed(keys)]
