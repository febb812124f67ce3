"""What the bucket holds of a customer: archive, curated purchases, reports, models. Calls block."""

import gzip
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.common.archive.joined import read_records
from services.common.archive.keys import PREFIX, hour_end_ms
from services.common.event_rules import EventRules
from services.common.model_registry import MODELS
from services.common.object_store import ObjectStore
from services.common.storage_errors import NoSuchObject
from services.privacy.exported import FOLDER, is_exported, rows
from services.privacy.found import Finding, as_text, single
from services.privacy.parquet import COLUMN
from services.privacy.redaction import Redactor
from services.privacy.sweep import CURATED, GZIP, REPORTS


def stored_of(store: ObjectStore, user_id: str, rules: EventRules, now_ms: int) -> Iterator[Finding]:
    """All that the bucket holds of a customer. Objects that are deleted meanwhile are skipped."""
    redactor = Redactor(single(user_id), rules)
    for key, body in _objects(store, PREFIX):
        yield from _archived(redactor, key, body, now_ms)
    for store_name, prefix in (("curated", CURATED), ("reports", REPORTS), ("models", MODELS)):
        for key, body in _objects(store, prefix, ".parquet"):
            for row in _rows(body, user_id):
                yield Finding(store_name, key, row)
    for key, body in _objects(store, FOLDER):
        for line, whose in rows(key, body) if is_exported(key) else ():
            if whose == user_id:
                yield Finding("exports", key, as_text(line.rstrip()))


def _objects(store: ObjectStore, prefix: str, suffix: str = "") -> Iterator[tuple[str, bytes]]:
    for key, _size in store.list(prefix):
        if key.endswith(suffix):
            try:
                yield key, store.get(key)
            except NoSuchObject:
                continue


def _archived(redactor: Redactor, key: str, body: bytes, now_ms: int) -> Iterator[Finding]:
    arrived_ms = hour_end_ms(key) or now_ms
    text = gzip.decompress(body) if body.startswith(GZIP) else body
    for line in text.split(b"\n"):
        for record in read_records(line) if line else ():
            at_ms = arrived_ms if record.timestamp is None else record.timestamp
            if redactor.mentions(record.value, at_ms):
                yield Finding("archive", key, as_text(record.value))


def _rows(body: bytes, user_id: str) -> list[dict[str, Any]]:
    table = pq.read_table(io.BytesIO(body))
    if COLUMN not in table.column_names:
        return []
    rows: list[dict[str, Any]] = table.filter(
        pc.equal(table[COLUMN], pa.scalar(user_id, table[COLUMN].type))
    ).to_pylist()
    return rows
