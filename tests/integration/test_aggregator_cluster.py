"""The aggregator writes live tables into a real cluster of Valkey, through the client of a cluster."""

from pathlib import Path

import redis

from tests.support.aggregator_process import AggregatorProcess, PurchaseFeed, assert_exact, until_assigned
from tests.support.engines import TopicFactory
from tests.support.valkey_cluster import valkey_cluster


async def test_purchases_are_counted_to_the_cent(kafka: str, topics: TopicFactory, tmp_path: Path) -> None:
    names = topics(partitions=2)
    with valkey_cluster(tmp_path) as address, redis.Redis.from_url(address) as client:
        settings = {
            "kafka_bootstrap": kafka,
            "redis_url": address,
            "redis_cluster": "true",
            "purchases_topic": names.purchases,
            "dead_letters_topic": names.dead_letters,
            "aggregator_group": names.purchases,
            "aggregator_snapshot_seconds": "0",
        }
        variables = {f"TILLSTREAM_{name.upper()}": value for name, value in settings.items()}
        aggregator = AggregatorProcess(variables, tmp_path / "aggregator.log")
        feed = PurchaseFeed(kafka, names)
        aggregator.start()
        try:
            await until_assigned(aggregator, 4)  # two of each topic
            await feed.send(1, 200)
            await assert_exact(client, feed)
        finally:
            aggregator.stop()
