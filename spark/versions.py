"""The name of a run: of its curated purchases, its report and its model."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class RunId:
    """One run of the job: `version` names all that it writes; `started_ms` is its start, epoch milliseconds."""

    version: str
    started_ms: int


def new_run(now_ms: int) -> RunId:
    """A run that starts now."""
    return RunId(new_version(now_ms), now_ms)


def new_version(now_ms: int) -> str:
    """`YYYYMMDDTHHMMSSZ-<6 hex>`: sorts by time; two runs in the same second differ."""
    return f"{datetime.fromtimestamp(now_ms // 1000, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
