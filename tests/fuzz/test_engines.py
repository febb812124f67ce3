"""The short form of `make fuzz` through the engines: none of the messages is lost, and none is counted twice."""

from pathlib import Path

from services.common.settings import S3Settings
from tests.fuzz.engines import Stand, through_engines
from tests.fuzz.mutator import messages
from tests.support.engines import TopicFactory

COUNT = 2_000


def test_none_is_lost(kafka: str, redis_url: str, s3: S3Settings, topics: TopicFactory, tmp_path: Path) -> None:
    stand = Stand(kafka, redis_url, s3, topics(partitions=2), tmp_path)
    told = through_engines(stand, [value for _number, value in messages(11, 0, COUNT)])
    assert told.startswith(f"{COUNT:,} sent = ")
