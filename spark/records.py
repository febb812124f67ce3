"""Archive lines → rows of validated records, batch by batch. Runs on the executors; no Spark in here.

Validation is `services.common.events.parse`, as in the stream.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa

from services.common.archive.joined import read_records
from services.common.archive.keys import hour_end_ms
from services.common.archive.lines import ArchivedRecord, read_line
from services.common.canary import OUTCOME, Canary
from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.events import Purchase, Rejected, parse
from services.common.line_identity import line_token, replay_token

ORIGIN = (("partition", "int"), ("offset", "bigint"), ("timestamp", "bigint"))
PURCHASE = (
    ("event_id", "string"),
    ("event_time", "bigint"),
    ("order_id", "string"),
    ("product_id", "string"),
    ("user_id", "string"),
    ("category_id", "string"),
    ("category_code", "string"),
    ("brand", "string"),
    ("product_name", "string"),
    ("price", "bigint"),
    ("quantity", "bigint"),
    ("revenue", "bigint"),
)
IDENTITY = (("token", "bigint"), ("replay_token", "bigint"), ("order_digest", "string"))
CHECKED = (*ORIGIN, *PURCHASE, *IDENTITY, ("reason", "string"), ("arrived", "bigint"))
"""Columns of a checked record: its place in the topic, the purchase (epoch ms, cents), its tokens within the order and
the digest of the order, why it was rejected, and the broker time by which it was judged (of a plain line: the end of
its hour)."""

Row = tuple[int | str | None, ...]

_ARROW: dict[str, pa.DataType] = {"int": pa.int32(), "bigint": pa.int64(), "string": pa.string()}
_SCHEMA = pa.schema([(name, _ARROW[kind]) for name, kind in CHECKED])
_NO_PURCHASE: Row = (None,) * (len(PURCHASE) + len(IDENTITY))


def ddl(columns: Iterable[tuple[str, str]]) -> str:
    """The columns in Spark's schema notation."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns)


def arrow_schema(columns: Iterable[tuple[str, str]], names: Sequence[str]) -> pa.Schema:
    """Some of the columns, in the order of their names given, in Arrow's schema notation."""
    kinds = dict(columns)
    return pa.schema([(name, _ARROW[kinds[name]]) for name in names])


def checker(job_ms: int, rules: EventRules) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow`: batches of (line: binary, path: string) → batches of `CHECKED`.

    `job_ms` is the broker time (epoch ms) of a plain line whose path names no hour. `rules`: of the validation.
    """

    def check(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _batch([row for line, path in _lines(batch) for row in checked_rows(line, path, job_ms, rules)])

    return check


def checked_rows(line: bytes, path: str, job_ms: int, rules: EventRules) -> Iterator[Row]:
    """The rows of an archive line: one, unless its writer put nothing between the records."""
    for record in read_records(line):
        yield _row(record, path, job_ms, rules)


def checked_row(line: bytes, path: str, job_ms: int, rules: EventRules = DEFAULT_RULES) -> Row:
    """One archived record as a row of `CHECKED`: a purchase without a reason, or a reason without a purchase."""
    return _row(read_line(line), path, job_ms, rules)


def _row(record: ArchivedRecord, path: str, job_ms: int, rules: EventRules) -> Row:
    partition, offset, timestamp, value = record
    arrived = _arrival(path, job_ms) if timestamp is None else timestamp
    return (partition, offset, timestamp, *_outcome(parse(value, arrived, rules)), arrived)


def _outcome(checked: Purchase | Rejected | Canary) -> Row:
    if isinstance(checked, Canary):
        return (*_NO_PURCHASE, OUTCOME)
    if isinstance(checked, Rejected):
        return (*_NO_PURCHASE, checked.reason.value)
    tokens = _number(line_token(checked)), _number(replay_token(checked))
    return (*msgspec.structs.astuple(checked)[: len(PURCHASE)], *tokens, checked.order_digest, None)


def _number(token: bytes | None) -> int | None:
    return None if token is None else int.from_bytes(token, "big", signed=True)


@lru_cache(maxsize=64)  # all lines of an object share their path
def _arrival(path: str, job_ms: int) -> int:
    """The substitute for the broker time of a plain line."""
    return hour_end_ms(path) or job_ms


def _lines(batch: pa.RecordBatch) -> Iterator[tuple[bytes, str]]:
    lines: list[Any] = batch.column(0).to_pylist()
    paths: list[Any] = batch.column(1).to_pylist()
    return zip(lines, paths, strict=True)


def _batch(rows: list[Row]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
