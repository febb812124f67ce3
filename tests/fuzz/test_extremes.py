"""The short form of `make fuzz` with extreme events: no accepted record stops the aggregator."""

import time
from pathlib import Path

from services.common.settings import S3Settings
from tests.fuzz.engines import Stand
from tests.fuzz.extreme_run import apply_extremes
from tests.fuzz.extremes import extreme_events
from tests.support.engines import TopicFactory

COUNT = 4_000


def test_no_accepted_event_stops_the_aggregator(
    kafka: str, redis_url: str, s3: S3Settings, topics: TopicFactory, tmp_path: Path
) -> None:
    stand = Stand(kafka, redis_url, s3, topics(partitions=2), tmp_path)
    values = list(extreme_events(7, 0, COUNT, time.time_ns() // 1_000_000))
    assert apply_extremes(stand, values).startswith(f"{COUNT:,} sent")


def test_the_events_of_a_seed_are_the_same_wherever_a_round_begins() -> None:
    whole = list(extreme_events(3, 0, 500, 1_700_000_000_000))
    assert whole[200:] == list(extreme_events(3, 200, 300, 1_700_000_000_000))
