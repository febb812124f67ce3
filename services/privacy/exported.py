"""Exported files as CSV or JSON lines: a row a line, the customer in `user_id` (docs/export.md). Pure."""

import csv
from collections.abc import Iterator

import msgspec

from services.common.erased import Erased
from services.privacy.parquet import COLUMN

FOLDER = "reports/recommendations/"
SUFFIXES = (".csv", ".json")


class _Row(msgspec.Struct):
    user_id: str | None = None


_row = msgspec.json.Decoder(_Row).decode


def is_exported(key: str) -> bool:
    """Whether an object is such a file."""
    return key.startswith(FOLDER) and key.endswith(SUFFIXES)


def rows(key: str, body: bytes) -> Iterator[tuple[bytes, str | None]]:
    """Each line with its end, and whom it is of; None for a header."""
    lines = body.splitlines(keepends=True)
    if key.endswith(".json"):
        yield from ((line, _row(line).user_id) for line in lines)
        return
    place: int | None = None
    for line in lines:
        (fields,) = csv.reader([line.decode()])
        if place is None:
            place = fields.index(COLUMN)
            yield line, None
        else:
            yield line, fields[place]


def without_rows_of(key: str, body: bytes, erased: Erased) -> bytes | None:
    """The file without the rows of erased customers; None where it has none."""
    kept = [line for line, user_id in rows(key, body) if user_id is None or user_id not in erased]
    whole = b"".join(kept)
    return None if whole == body else whole
