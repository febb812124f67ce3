"""Compares live and batch figures of the same records. Pure functions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.common.calendar import bucket_time
from services.common.live_snapshot import Buckets, LiveSnapshot
from services.common.money import format_cents
from services.common.reconciliation import Basis, Drift, Figure, FigureDifference, Reconciliation, Table
from services.common.times import format_time

HOUR_MS = 3_600_000
LISTED_PER_TABLE = 20
"""Differences listed per table; `differing` counts all."""

FIGURES: dict[Table, tuple[Figure, ...]] = {
    "totals": ("revenue", "quantity", "events", "orders", "buyers"),
    "partition": ("revenue", "quantity", "events"),
    **dict.fromkeys(("month", "day", "hour", "category", "brand"), ("revenue", "quantity", "orders")),
}
"""The figures of each table, the broadest table first."""
KEPT_BY_ENTITY: frozenset[Figure] = frozenset({"orders", "buyers"})
BUCKETS: frozenset[Table] = frozenset({"month", "day", "hour"})

FigureKey = tuple[Table, str]
"""A table and an entry: a bucket's start (epoch seconds), a partition's number, or a name; "" for totals."""
Amounts = Mapping[Figure, int]
ShopFigures = Mapping[FigureKey, Amounts]
_NOTHING: Amounts = {}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which live and batch figures cover the same records.

    By offsets: all figures, as of the snapshot's marks (applied offsets); those kept by entity only if all shards had
    the same marks. By hours: hours that had ended an hour before the snapshot, so that lines up to an hour late are in
    both. `erased`: how many erased customers the batch leaves out; buyers are compared where the snapshot lacks as
    many.
    """

    basis: Basis
    snapshot: LiveSnapshot
    erased: int = 0

    @property
    def as_of_ms(self) -> int:
        """The event time up to which figures are compared, epoch milliseconds."""
        if self.basis == "offsets":
            return self.snapshot.newest
        return (self.snapshot.taken_at // HOUR_MS - 1) * HOUR_MS

    def covers(self, key: FigureKey) -> bool:
        """Whether an entry is compared."""
        if self.basis == "offsets":
            return True
        table, entry = key
        return table == "hour" and int(entry) * 1000 + HOUR_MS <= self.as_of_ms

    def figures(self, table: Table) -> Iterator[Figure]:
        """The figures of a table that are compared."""
        return (figure for figure in FIGURES[table] if self.compares(figure))

    def compares(self, figure: Figure) -> bool:
        """Whether a figure is of the same records and customers in both."""
        if figure == "buyers" and self.snapshot.erased != self.erased:
            return False
        return self.snapshot.consistent or figure not in KEPT_BY_ENTITY


class Mismatch(NamedTuple):
    """A figure with different live and batch values."""

    key: FigureKey
    figure: Figure
    live: int
    batch: int


def comparable_by_offsets(
    snapshots: Iterable[tuple[str, LiveSnapshot]], offsets: Mapping[int, int], time_zone: str
) -> tuple[str, LiveSnapshot] | None:
    """The first snapshot whose marks the archive has reached. `offsets`: partition → offset after the last archived."""
    for key, snapshot in snapshots:
        reached = all(offsets.get(partition, 0) >= mark for partition, mark in snapshot.marks.items())
        if reached and snapshot.time_zone == time_zone:
            return key, snapshot
    return None


def comparable_by_hours(
    snapshots: Iterable[tuple[str, LiveSnapshot]], archived_until_ms: int, time_zone: str
) -> tuple[str, LiveSnapshot] | None:
    """The first snapshot taken before the newest archived line arrived: all hours before it are archived."""
    for key, snapshot in snapshots:
        if snapshot.taken_at < archived_until_ms and snapshot.time_zone == time_zone:
            return key, snapshot
    return None


def live_figures(snapshot: LiveSnapshot) -> ShopFigures:
    """The figures of a live snapshot."""
    totals = snapshot.totals
    found: dict[FigureKey, Amounts] = {
        ("totals", ""): {
            "revenue": totals.revenue,
            "quantity": totals.quantity,
            "events": totals.events,
            "orders": totals.orders,
            "buyers": totals.buyers,
        }
    }
    for partition, entry in snapshot.ledger.items():
        found["partition", str(partition)] = {
            "revenue": entry.revenue,
            "quantity": entry.quantity,
            "events": entry.events,
        }
    tables: dict[Table, Buckets] = {
        "month": snapshot.months,
        "day": snapshot.days,
        "hour": snapshot.hours,
        "category": snapshot.categories,
        "brand": snapshot.brands,
    }
    for table, buckets in tables.items():
        for name, figures in buckets.items():
            found[table, name] = {
                "revenue": figures.revenue,
                "quantity": figures.quantity,
                "orders": figures.orders,
            }
    return found


def join_partitions(figures: ShopFigures, linked: Iterable[tuple[int, int]]) -> ShopFigures:
    """The figures with one entry for all partitions that are linked, such as `0+3`, in place of one for each.

    Of a line that came by two partitions, the stream counts what it read first and the batch what arrived first: the
    sum over both partitions is the same, the shares are not.
    """
    groups: dict[int, set[int]] = {}
    for one, other in linked:
        joined = groups.get(one, {one}) | groups.get(other, {other})
        groups |= dict.fromkeys(joined, joined)
    found: dict[FigureKey, Amounts] = {}
    for (table, entry), amounts in figures.items():
        key = (table, _joined(int(entry), groups) if table == "partition" else entry)
        there = found.get(key)
        found[key] = amounts if there is None else _sum(there, amounts)
    return found


def _joined(partition: int, groups: Mapping[int, set[int]]) -> str:
    return "+".join(map(str, sorted(groups.get(partition, {partition}))))


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return {name: one.get(name, 0) + other.get(name, 0) for name in FIGURES["partition"]}


def compare(live: ShopFigures, batch: ShopFigures, scope: Scope) -> tuple[int, list[Mismatch]]:
    """The number of figures compared, and the mismatches in the order of tables and entries."""
    compared, mismatches = 0, []
    for key in sorted((key for key in live.keys() | batch.keys() if scope.covers(key)), key=_order):
        here, there = live.get(key, _NOTHING), batch.get(key, _NOTHING)
        for figure in scope.figures(key[0]):
            compared += 1
            if here.get(figure, 0) != there.get(figure, 0):
                mismatches.append(Mismatch(key, figure, here.get(figure, 0), there.get(figure, 0)))
    return compared, mismatches


def _order(key: FigureKey) -> tuple[int, int, str]:
    table, entry = key
    number = int(entry.partition("+")[0]) if table in BUCKETS or table == "partition" else 0
    return list(FIGURES).index(table), number, entry


def drift(live: ShopFigures, batch: ShopFigures, scope: Scope) -> Drift:
    """Live less batch: of the totals, or of the sum of the compared hours."""
    table: Table = "totals" if scope.basis == "offsets" else "hour"
    compared = [key for key in live.keys() | batch.keys() if key[0] == table and scope.covers(key)]

    def of(figure: Figure) -> int:
        return sum(live.get(key, _NOTHING).get(figure, 0) - batch.get(key, _NOTHING).get(figure, 0) for key in compared)

    # An order may have lines in several hours: the sum of their orders has no meaning.
    whole = scope.basis == "offsets"
    return Drift(
        revenue=format_cents(of("revenue")),
        quantity=of("quantity"),
        events=of("events") if whole else None,
        orders=of("orders") if whole and scope.compares("orders") else None,
        buyers=of("buyers") if whole and scope.compares("buyers") else None,
    )


def reconciliation(
    live: ShopFigures, batch: ShopFigures, scope: Scope, *, version: str, checked_ms: int, snapshot_key: str
) -> Reconciliation:
    """The comparison in its stored form."""
    compared, mismatches = compare(live, batch, scope)
    return Reconciliation(
        version=version,
        status="differ" if mismatches else "agree",
        basis=scope.basis,
        as_of=format_time(scope.as_of_ms),
        checked_at=format_time(checked_ms),
        snapshot=snapshot_key,
        compared=compared,
        differing=len(mismatches),
        drift=drift(live, batch, scope),
        differences=tuple(list_differences(mismatches, scope.snapshot)),
    )


def list_differences(mismatches: Iterable[Mismatch], snapshot: LiveSnapshot) -> Iterator[FigureDifference]:
    """The first differences of each table, with amounts and buckets as text."""
    zone, listed = ZoneInfo(snapshot.time_zone), dict.fromkeys(FIGURES, 0)
    for (table, entry), figure, live, batch in mismatches:
        listed[table] += 1
        if listed[table] <= LISTED_PER_TABLE:
            yield FigureDifference(
                table=table,
                figure=figure,
                live=_amount(figure, live),
                batch=_amount(figure, batch),
                bucket=bucket_time(int(entry), zone) if table in BUCKETS else None,
                partition=f"{snapshot.topic}/{entry}" if table == "partition" else None,
                entry=entry if table in ("category", "brand") else None,
            )


def _amount(figure: Figure, value: int) -> str:
    return format_cents(value) if figure == "revenue" else str(value)


def in_words(difference: FigureDifference) -> str:
    """`hour 2026-11-22T13:00:00Z: revenue 10.00 live, 22.50 in the batch`."""
    key = difference.bucket or difference.partition or difference.entry or ""
    where = f"{difference.table} {key}".rstrip()
    return f"{where}: {difference.figure} {difference.live} live, {difference.batch} in the batch"
