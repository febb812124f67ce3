"""What the routes work with: opened by the composition root, handed to every request."""

from concurrent.futures import Executor
from dataclasses import dataclass

from fastapi import Request

from services.common.telemetry import Health
from services.gateway.queries.ranges import RangeRankings
from services.gateway.queries.shards import LiveShards, ShardReader
from services.gateway.settings import GatewaySettings
from services.gateway.stream.hub import StreamHub
from services.gateway.stream.shop_state import SnapshotWatch
from services.gateway.stream.totals_history import Pulse
from services.gateway.system_status import SystemWatch
from services.gateway.upstreams.bestsellers import PopularShelf
from services.gateway.upstreams.event_intake import Intake
from services.gateway.upstreams.model_registry import Registry
from services.gateway.upstreams.recommendations import Recommender
from services.gateway.upstreams.recommender_client import ModelWatch
from services.gateway.upstreams.reconciliation import BooksWatch


@dataclass(frozen=True, slots=True)
class Parts:
    """The gateway's parts."""

    settings: GatewaySettings
    health: Health
    tables: LiveShards
    snapshots: SnapshotWatch
    shelf: PopularShelf
    recommender: Recommender
    stream: StreamHub
    intake: Intake
    system: SystemWatch
    model: ModelWatch
    pulse: Pulse
    ranges: RangeRankings
    registry: Registry
    books: BooksWatch
    s3_threads: Executor

    @property
    def shards(self) -> ShardReader:
        """The live tables as of now; an answer that needs them twice, or their time zone, asks here once."""
        return self.tables.reader


def parts_of(request: Request) -> Parts:
    """The parts behind a request."""
    parts: Parts = request.app.state.parts
    return parts
