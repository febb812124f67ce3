"""Which checked records count: each line once, by the stream's own rule. Runs on the executors; no Spark in here.

The records of an order come together, in the order of their arrival.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from services.common.canary import OUTCOME
from services.common.line_identity import LineVerdict, OrderLines

JUDGED = ("partition", "offset", "timestamp", "line_group", "token", "replay_token", "order_digest", "reason")
"""Columns that a verdict depends on."""
VERDICT = (("outcome", "string"), ("counted_in", "int"))
"""Columns that a verdict adds: see `Judged`."""
ACCEPTED = "accepted"
REPEAT = "repeat"


class Judged(NamedTuple):
    """`outcome`: `accepted`, `repeat`, `canary`, or the reason why the record is a dead letter.

    `counted_in`: the partition of the record that counted instead of a repeat, where both have a position.
    """

    outcome: str
    counted_in: int | None = None


class Position(NamedTuple):
    """Where a record is in the topic; all None for a plain line. The same one is the same record, stored twice."""

    partition: int | None
    offset: int | None
    timestamp: int | None


class GroupVerdicts:
    """Judges records group by group: all records of an order, or all copies of a rejected record."""

    def __init__(self) -> None:
        self._group: str | None = None
        self._begin("")

    def _begin(self, group: str) -> None:
        self._group = group
        self._order = OrderLines()
        self._counted_in: dict[int, int | None] = {}
        self._position = Position(None, None, None)

    def judge(
        self, position: Position, group: str, tokens: tuple[int, ...], digest: str | None, reason: str | None
    ) -> Judged:
        """The verdict on the next record: of a group the records come together, in the order of arrival."""
        if reason == OUTCOME:
            return Judged(OUTCOME)
        if group != self._group:
            self._begin(group)
        if position.offset is not None and position == self._position:
            return Judged(REPEAT, position.partition)
        self._position = position
        if reason is not None:
            return Judged(reason)
        verdict = self._order.add(tokens, digest)
        if verdict is LineVerdict.COUNTS:
            self._counted_in |= dict.fromkeys(tokens, position.partition)
            return Judged(ACCEPTED)
        counted_in = next((self._counted_in[token] for token in tokens if token in self._counted_in), None)
        return Judged(verdict.value, counted_in)


def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches with the columns `JUDGED`, in order → the same with those of `VERDICT` at the end; for `mapInArrow`."""
    verdicts = GroupVerdicts()
    for batch in batches:
        columns: list[list[Any]] = [batch.column(name).to_pylist() for name in JUDGED]
        judged = [
            verdicts.judge(
                Position(partition, offset, timestamp),
                group,
                tuple(token for token in tokens if token is not None),
                digest,
                reason,
            )
            for partition, offset, timestamp, group, *tokens, digest, reason in zip(*columns, strict=True)
        ]
        added: list[pa.Array[Any]] = [
            pa.array([verdict.outcome for verdict in judged], pa.string()),
            pa.array([verdict.counted_in for verdict in judged], pa.int32()),
        ]
        names = [*batch.schema.names, *(name for name, _ in VERDICT)]
        yield pa.RecordBatch.from_arrays([*batch.columns, *added], names=names)
