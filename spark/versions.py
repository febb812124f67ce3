"""The name of a run: of its curated purchases, its report and its model."""

import secrets
from datetime import UTC, datetime


def new_version(now_ms: int) -> str:
    """`YYYYMMDDTHHMMSSZ-<6 hex>`: sorts by time, and two runs of one second differ."""
    return f"{datetime.fromtimestamp(now_ms // 1000, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
