"""The report of a run of the batch job: `reports/job/` in S3. The job writes it, the gateway turns it into metrics.

A job that has ended cannot be scraped, and on EMR nothing of ours runs next to it. So its figures take the way that its
results take.
"""

from typing import Literal

import msgspec

FOLDER = "reports/job/"
LATEST = f"{FOLDER}latest.json"

Outcome = Literal["published", "refused", "no_model", "failed"]


class GateResult(msgspec.Struct, frozen=True):
    """The gate's verdict on the run's model, and the configuration that won."""

    verdict: Literal["published", "refused"]
    winner: str


class JobReport(msgspec.Struct, frozen=True):
    """One run. `steps`: seconds of each completed step. `records`: archived records by outcome, if they were counted.

    `reason` says why there is no model. `gate` is None where nothing was decided.
    """

    version: str
    outcome: Outcome
    reason: str
    started_at: str
    finished_at: str
    steps: dict[str, float]
    records: dict[str, int]
    gate: GateResult | None = None
