"""Removes erased customers from all that is stored in the bucket. Calls block.

Each object is changed on its own, whole, by a conditional write; a sweep that was interrupted is started again and does
the rest. What has nobody to remove is left as it is, so that a second sweep changes nothing.
"""

import gzip
import logging
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from services.common.archive.keys import PREFIX, hour_end_ms
from services.common.conditional_write import encode
from services.common.erased import Erased
from services.common.event_rules import EventRules
from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists, NoSuchObject
from services.privacy.exported import is_exported, without_rows_of
from services.privacy.models import sweep_models
from services.privacy.parquet import without_customers, without_rows
from services.privacy.redaction import CannotRedact, Redactor

logger = logging.getLogger(__name__)

CURATED = "curated/purchases/"
REPORTS = "reports/"
GZIP = b"\x1f\x8b"
_ATTEMPTS = 5

Change = Callable[[str, bytes], bytes | None]
"""Of a key and a body, the new body; None: it may stay."""


def sweep(store: ObjectStore, erased: Erased, rules: EventRules, now_ms: int) -> Counter[str]:
    """Remove erased customers everywhere; returns how many objects were changed, by what they are.

    What cannot be redacted stays, and all else is swept before CannotRedact is raised. Raises NothingLeft, Contended.
    """
    changed: Counter[str] = Counter()
    kept: list[CannotRedact] = []
    redactor = Redactor(erased, rules)
    changed["archive"] = _each(store, PREFIX, lambda key, body: _archived(redactor, key, body, now_ms), kept)
    changed["curated"] = _each(store, CURATED, _parquet(lambda body: without_customers(body, erased)), kept)
    changed["reports"] = _each(store, REPORTS, lambda key, body: _report(key, body, erased), kept)
    changed["models"] = sweep_models(store, erased, now_ms)
    if kept:
        raise CannotRedact(f"{len(kept)} objects stay as they were, all else is swept; the first one: {kept[0]}")
    return changed


def _each(store: ObjectStore, prefix: str, change: Change, kept: list[CannotRedact]) -> int:
    """Change the objects below a prefix; returns how many. Why one stays as it is goes to `kept`."""
    changed = 0
    for key in _keys(store, prefix):
        try:
            changed += _rewritten(store, key, change)
        except CannotRedact as error:
            kept.append(error)
    return changed


def _keys(store: ObjectStore, prefix: str) -> Iterator[str]:
    return (key for key, _size in store.list(prefix))


def _rewritten(store: ObjectStore, key: str, change: Change) -> bool:
    """Change one object, however often another one changes it meanwhile."""
    for _ in range(_ATTEMPTS):
        try:
            stored = store.get_stored(key)
            body = _changed(change, key, stored.body)
            if body is None:
                return False
            store.rewrite(key, body, stored)
        except AlreadyExists:
            continue
        except NoSuchObject:  # deleted meanwhile
            return False
        return True
    raise CannotRedact(f"{key} changed during each of {_ATTEMPTS} attempts: run the sweep again")


def _changed(change: Change, key: str, body: bytes) -> bytes | None:
    """The new body. A damaged object ends no sweep: gzip, Parquet, CSV and JSON say so each in its own way."""
    try:
        return change(key, body)
    except (OSError, EOFError, ValueError, zlib.error) as damage:
        raise CannotRedact(f"{key} cannot be read: {damage}") from damage


def _archived(redactor: Redactor, key: str, body: bytes, now_ms: int) -> bytes | None:
    is_packed = body.startswith(GZIP)
    text = gzip.decompress(body) if is_packed else body
    arrived_ms = hour_end_ms(key) or now_ms
    lines = text.split(b"\n")
    try:
        kept = [redactor.line(line, arrived_ms) if line else line for line in lines]
    except CannotRedact as error:
        raise CannotRedact(f"{key}: {error}") from None
    if kept == lines:
        return None
    whole = b"\n".join(kept)
    return gzip.compress(whole, mtime=0) if is_packed else whole


def _parquet(change: Callable[[bytes], bytes | None]) -> Change:
    return lambda key, body: change(body) if key.endswith(".parquet") else None


def _report(key: str, body: bytes, erased: Erased) -> bytes | None:
    """A report's tables and exports have rows for each customer; its figures name the top spenders."""
    if key.endswith(".parquet"):
        return without_rows(body, erased)
    if is_exported(key):
        return without_rows_of(key, body, erased)
    return _figures(body, erased) if key.endswith("/figures.json") else None


def _figures(body: bytes, erased: Erased) -> bytes | None:
    try:
        figures = msgspec.json.decode(body, type=dict[str, Any])
        spenders = figures["top"]["spenders"]
        kept = [each for each in spenders if each["id"] not in erased]
    except (msgspec.DecodeError, KeyError, TypeError):
        return None
    if kept == spenders:
        return None
    figures["top"]["spenders"] = kept
    return encode(figures)
