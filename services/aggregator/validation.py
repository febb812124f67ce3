"""Which records count: acceptance, repeats and dead letters. Pure, but for the claims that the caller looks up."""

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.aggregator.fold import Line
from services.common.dead_letters import Headers, origin_of, reason_of
from services.common.events import Rejected, parse, row_of


class Record(Protocol):
    """What is used of a Kafka record."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record for the dead letters, and why."""

    record: Record
    rejected: Rejected


def judge(records: Iterable[Record]) -> tuple[list[Line], list[Refusal]]:
    """Accepted lines and refused records, each in offset order."""
    lines: list[Line] = []
    refusals: list[Refusal] = []
    for record in records:
        verdict = parse(record.value, record.timestamp)
        if isinstance(verdict, Rejected):
            refusals.append(Refusal(record, verdict))
        else:
            lines.append(Line(record.offset, record.timestamp, verdict))
    return lines, refusals


def claimed_ids(lines: Iterable[Line], partition: str) -> dict[str, str]:
    """Event ids that name no row → the first record here that carries each, as `<topic>/<partition>/<offset>`."""
    wanted: dict[str, str] = {}
    for line in lines:
        event_id = line.purchase.event_id
        if event_id is not None and row_of(line.purchase) is None:
            wanted.setdefault(event_id, f"{partition}/{line.offset}")
    return wanted


def replayed_ids(lines: Iterable[Line]) -> set[str]:
    """The event ids of replayed dead letters: they are claimed for ever."""
    return {line.purchase.event_id for line in lines if line.purchase.replay_of and line.purchase.event_id}


def without_repeats(
    lines: Iterable[Line], rows: Mapping[str, int], owners: Mapping[str, str], partition: str
) -> tuple[list[Line], dict[str, int]]:
    """The lines that count once, and the rows that they move forward (source → highest row)."""
    moved: dict[str, int] = {}
    kept: list[Line] = []
    for line in lines:
        event_id = line.purchase.event_id
        if event_id is None:
            kept.append(line)
            continue
        numbered = row_of(line.purchase)
        if numbered is None:
            if owners[event_id] == f"{partition}/{line.offset}":
                kept.append(line)
        elif _moves_on(*numbered, rows, moved):
            kept.append(line)
    return kept, moved


def count_dead_letters(records: Iterable[Record], rows: Mapping[str, int]) -> tuple[Counter[str], dict[str, int]]:
    """Dead letters by reason, each origin once, and the rows that they move forward.

    A sender writes the dead letters of one source in order and to one partition, so that a row not above the
    highest is a repeat. A letter without a readable origin is an origin of its own.
    """
    moved: dict[str, int] = {}
    reasons: Counter[str] = Counter()
    for record in records:
        headers: Headers = list(record.headers)
        origin = origin_of(headers)
        if origin is None or _moves_on(origin.source, origin.row, rows, moved):
            reasons[reason_of(headers)] += 1
    return reasons, moved


def _moves_on(source: str, row: int, rows: Mapping[str, int], moved: MutableMapping[str, int]) -> bool:
    highest = moved.get(source)
    if highest is None:
        highest = rows.get(source, -1)
    if row <= highest:
        return False
    moved[source] = row
    return True
