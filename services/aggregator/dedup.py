"""Deduplicates purchases and dead letters. Pure: the caller looks up who owns an opaque event id."""

from collections import Counter
from collections.abc import Iterable, Mapping

from services.aggregator.fold import AcceptedLine
from services.aggregator.validation import Record
from services.common.dead_letters import Headers, origin_of, reason_of
from services.common.events import row_of
from services.common.row_watermarks import RowWatermarks


def ids_to_claim(lines: Iterable[AcceptedLine], partition: str) -> dict[str, str]:
    """Event ids that name no row → the first record here that carries each, as `<topic>/<partition>/<offset>`."""
    wanted: dict[str, str] = {}
    for line in lines:
        event_id = line.purchase.event_id
        if event_id is not None and row_of(line.purchase) is None:
            wanted.setdefault(event_id, f"{partition}/{line.offset}")
    return wanted


def replayed_ids(lines: Iterable[AcceptedLine]) -> set[str]:
    """The event ids of replayed dead letters: their claims never expire."""
    return {line.purchase.event_id for line in lines if line.purchase.replay_of and line.purchase.event_id}


def deduplicate(
    lines: Iterable[AcceptedLine], rows: Mapping[str, int], owners: Mapping[str, str], partition: str
) -> tuple[list[AcceptedLine], dict[str, int]]:
    """The lines that count, and the highest row of each source among them.

    `rows`: source → highest row applied before. `owners`: event id → the record that claimed it.
    """
    watermarks = RowWatermarks(rows)
    kept: list[AcceptedLine] = []
    for line in lines:
        event_id = line.purchase.event_id
        if event_id is None:
            kept.append(line)
            continue
        numbered = row_of(line.purchase)
        if numbered is None:
            if owners[event_id] == f"{partition}/{line.offset}":
                kept.append(line)
        elif watermarks.advance(*numbered):
            kept.append(line)
    return kept, watermarks.moved


def count_dead_letters(records: Iterable[Record], rows: Mapping[str, int]) -> tuple[Counter[str], dict[str, int]]:
    """Dead letters by reason, each origin once, and the highest row of each source among them.

    A sender writes the dead letters of one source in order and to one partition, so a row not above the highest is a
    repeat. A dead letter without a readable origin counts as an origin of its own.
    """
    watermarks = RowWatermarks(rows)
    reasons: Counter[str] = Counter()
    for record in records:
        headers: Headers = list(record.headers)
        origin = origin_of(headers)
        if origin is None or watermarks.advance(origin.source, origin.row):
            reasons[reason_of(headers)] += 1
    return reasons, watermarks.moved
