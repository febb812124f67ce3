"""Reconciliation of the live figures with the batch job's: `reports/reconciliation/` in S3.

The job writes it, the gateway shows it. Money is a decimal string with two places; drift is live less batch.
"""

from typing import Literal

import msgspec

FOLDER = "reports/reconciliation/"
LATEST = f"{FOLDER}latest.json"

Verdict = Literal["agree", "differ"]
Basis = Literal["offsets", "hours"]
Table = Literal["totals", "partition", "month", "day", "hour", "category", "brand"]
Figure = Literal["revenue", "quantity", "orders", "events", "buyers"]


class Drift(msgspec.Struct, frozen=True):
    """Live less batch, summed over all figures compared; None for a figure that could not be compared."""

    revenue: str
    quantity: int
    events: int | None
    orders: int | None
    buyers: int | None


class FigureDifference(msgspec.Struct, frozen=True):
    """One figure that differs between live and batch.

    `bucket` is set for month, day and hour (RFC 3339, the shop's time zone), `partition` (`<topic>/<partition>`) for
    partition, `entry` for category and brand; none of them for totals.
    """

    table: Table
    figure: Figure
    live: str
    batch: str
    bucket: str | None = None
    partition: str | None = None
    entry: str | None = None


class Reconciliation(msgspec.Struct, frozen=True):
    """One comparison. It holds for all records up to `as_of`, the broker's time of the newest one compared.

    `basis` is how the records compared were chosen: by the offsets of the live figures, or, where archived lines carry
    none, by completed hours. `compared` counts the figures that were compared, `differing` those that differ; of these
    `differences` lists the first of each table, the broadest table first.
    """

    version: str
    status: Verdict
    basis: Basis
    as_of: str
    checked_at: str
    snapshot: str
    compared: int
    differing: int
    drift: Drift
    differences: tuple[FigureDifference, ...] = ()


def in_words(found: Reconciliation) -> str:
    """The result in one sentence. The page calls live and batch figures the books."""
    if found.status == "agree":
        return f"the books agree to the cent up to {found.as_of}"
    figures = "figure differs" if found.differing == 1 else "figures differ"
    return (
        f"the books do not agree: {found.differing:,} {figures}, {found.drift.revenue} in revenue, as of {found.as_of}"
    )
