"""What the routes work with: opened by the composition root, handed to every request."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from fastapi import Request

from services.common.telemetry import Health
from services.gateway.recommendations import Recommender
from services.gateway.settings import GatewaySettings
from services.gateway.shards import ShardReader
from services.gateway.snapshot import SnapshotWatch


@dataclass(frozen=True, slots=True)
class Parts:
    """The gateway's parts."""

    settings: GatewaySettings
    zone: ZoneInfo
    health: Health
    shards: ShardReader
    snapshots: SnapshotWatch
    recommender: Recommender


def parts_of(request: Request) -> Parts:
    """The parts behind a request."""
    parts: Parts = request.app.state.parts
    return parts
