"""Comparison with the reference figures: events lost, events doubled, cents off. Pure but for `archived`."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.reference import Sections, Value
from local.verify import Comparison, compare
from services.common.object_store import ObjectStore

SHOWN = 12
RecordPosition = tuple[int, int]
"""Partition and offset."""
ArchivedLines = dict[str, list[Any]]
"""The archive: key of an object → its lines."""


@dataclass(frozen=True, slots=True)
class Toll:
    """The cost of a fault: all zero and no differences, as promised."""

    lost: int = 0
    doubled: int = 0
    cents_off: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether nothing differs."""
        return not (self.lost or self.doubled or self.cents_off or self.differences)

    def __add__(self, other: "Toll") -> "Toll":
        """Both together."""
        return Toll(
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.cents_off + other.cents_off,
            [*self.differences, *other.differences],
        )


def toll_of_figures(expected: Sections, found: Sections, what: str) -> Toll:
    """The toll in figures that `local.reference` and `local.served_figures` name alike.

    Lost and doubled are counted hour by hour, where each event is one piece, so that a loss and a doubling in
    different hours do not make up for each other; what only the totals show counts as well.
    """
    comparisons = compare(expected, found)
    pieces = _gaps(expected, found, "sales by hour", "quantity")
    cents = _gaps(expected, found, "sales by hour", "revenue")
    events, dead = (_gap(expected["totals"].get(n), found.get("totals", {}).get(n)) for n in ("events", "dead_letters"))
    revenue = _gap(expected["totals"]["revenue"], found.get("totals", {}).get("revenue"))
    return Toll(
        lost=max(sum(max(0, -gap) for gap in pieces), -events) + max(0, -dead),
        doubled=max(sum(max(0, gap) for gap in pieces), events) + max(0, dead),
        cents_off=max(sum(map(abs, cents)), abs(revenue)),
        differences=list(_described(comparisons, what)),
    )


def toll_of_archive(topic: Mapping[RecordPosition, Any], archive: ArchivedLines) -> Toll:
    """The toll in the archive: each record of the topic must be there once, as it was."""
    counts: Counter[RecordPosition] = Counter()
    wrong: list[str] = []
    for key, lines in archive.items():
        for line in lines:
            place = (line["partition"], line["offset"])
            counts[place] += 1
            if place in topic and line != topic[place]:
                wrong.append(f"archive: {key} has {line} where the topic has {topic[place]}")
    strangers = [f"archive: {place} is not in the topic" for place in counts if place not in topic]
    missing = sorted(place for place in topic if place not in counts)
    twice = sorted(place for place, count in counts.items() if count > 1)
    found = [f"archive: {len(places)} {what}, first {places[0]}" for places, what in _named(missing, twice) if places]
    return Toll(
        len(missing), sum(counts[place] - 1 for place in twice), 0, [*found, *wrong[:SHOWN], *strangers[:SHOWN]]
    )


def archived(store: ObjectStore, known: ArchivedLines) -> ArchivedLines:
    """The whole archive; objects that are `known` are not read again, for they never change."""
    keys = [key for key, _size in store.list("raw/purchases/")]
    return {key: known[key] if key in known else _lines(store.get(key)) for key in keys}


def _lines(packed: bytes) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(packed).splitlines()]


def _named(missing: list[RecordPosition], twice: list[RecordPosition]) -> Iterable[tuple[list[RecordPosition], str]]:
    return (missing, "records are not archived"), (twice, "records are archived twice")


def _gaps(expected: Sections, found: Sections, section: str, figure: str) -> list[int]:
    """Found minus expected, of each bucket that either side has."""
    wanted, held = expected.get(section, {}), found.get(section, {})
    names = {name for name in (*wanted, *held) if name.endswith(f" {figure}")}
    return [_gap(wanted.get(name), held.get(name)) for name in names]


def _gap(expected: Value, found: Value) -> int:
    return int(found or 0) - int(expected or 0)


def _described(comparisons: Iterable[Comparison], what: str) -> Iterable[str]:
    for each in comparisons:
        for difference in each.differences[:SHOWN]:
            yield f"{what}: {each.section}: {difference.name}: {difference.expected} expected, {difference.found} found"
