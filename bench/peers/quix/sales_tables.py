"""The peer in Quix Streams: sums by month, day, category, product and customer in Redis.

`python -m bench.peers.quix.sales_tables BROKER TOPIC`, with the URL of Redis in PEER_REDIS_URL, in an environment made
from requirements.lock. Each commit writes the sums of what it covers and the offsets that it reaches in one MULTI: a
restart skips what was applied. Nothing fences off a second writer.
"""

import os
import sys

import redis
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

from bench.peers.quix.sums import add_up

COMMIT_INTERVAL_S = 1.0


class SalesTables(BatchingSink):  # type: ignore[misc]
    """Adds each batch to the tables."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._redis = redis.Redis.from_url(url)

    def write(self, batch: SinkBatch) -> None:
        """Apply what no earlier run has."""
        reached = int(self._redis.hget("offsets", str(batch.partition)) or 0)
        items = [item for item in batch if item.offset >= reached]
        if not items:
            return
        sums = add_up(item.value for item in items)
        with self._redis.pipeline(transaction=True) as pipe:
            for (table, field), amount in sums.items():
                pipe.hincrby(table, field, amount)
            pipe.hset("offsets", str(batch.partition), items[-1].offset + 1)
            pipe.execute()


def main() -> None:
    """Read the topic from its beginning until it is stopped."""
    broker, topic = sys.argv[1:]
    app = Application(
        broker,
        consumer_group="peer-quix",
        auto_offset_reset="earliest",
        commit_interval=COMMIT_INTERVAL_S,
        auto_create_topics=False,
        loglevel="WARNING",
    )
    app.dataframe(app.topic(topic)).sink(SalesTables(os.environ["PEER_REDIS_URL"]))
    app.run()


if __name__ == "__main__":
    main()
