"""Snapshots of the live figures in S3, `reports/live/<taken_ms>.json.gz`. The aggregator writes them, the batch job
reconciles its figures with them.
"""

import gzip

import msgspec

from services.common.tables import Figures, LedgerEntry

FOLDER = "reports/live/"
_SUFFIX = ".json.gz"

Buckets = dict[str, Figures]


class SnapshotTotals(msgspec.Struct, frozen=True):
    """The whole shop. Revenue in cents."""

    revenue: int
    quantity: int
    events: int
    orders: int
    buyers: int


class LiveSnapshot(msgspec.Struct, frozen=True):
    """The live figures after exactly the records below `marks`, summed over the shards.

    `marks` and `ledger` are by partition number of `topic`; a mark (applied offset) is the next offset to apply.
    `newest` is the broker's time of the newest record applied, `taken_at` when the figures were read (both epoch ms).
    Buckets are by their start (UTC epoch seconds), categories and brands by their name.

    `consistent`: all shards had the same marks. Only then do the figures kept by entity (orders, buyers) belong to
    these marks; the additive ones (revenue, quantity, events) always do. `erased`: how many erased customers are left
    out of `buyers`.
    """

    taken_at: int
    generation: str
    topic: str
    time_zone: str
    marks: dict[int, int]
    newest: int
    consistent: bool = msgspec.field(name="level")
    totals: SnapshotTotals
    ledger: dict[int, LedgerEntry]
    months: Buckets
    days: Buckets
    hours: Buckets
    categories: Buckets
    brands: Buckets
    dead_letters: dict[str, int]
    erased: int = 0


class BadSnapshot(Exception):
    """The object cannot be read as a snapshot."""


def snapshot_key(taken_at: int) -> str:
    """The object's key; keys sort by time."""
    return f"{FOLDER}{taken_at:013d}{_SUFFIX}"


def is_snapshot(key: str) -> bool:
    """Whether an object of the folder is a snapshot."""
    return key.startswith(FOLDER) and key.endswith(_SUFFIX)


def encode(snapshot: LiveSnapshot) -> bytes:
    """The object's bytes."""
    return gzip.compress(msgspec.json.encode(snapshot), compresslevel=6, mtime=0)


def decode(body: bytes) -> LiveSnapshot:
    """The snapshot in an object's bytes. Raises BadSnapshot."""
    try:
        return msgspec.json.decode(gzip.decompress(body), type=LiveSnapshot)
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise BadSnapshot(str(error)) from None
