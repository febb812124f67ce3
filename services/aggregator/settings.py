"""The aggregator's settings."""

from pydantic import Field

from services.common.settings import (
    DeadLetterLimits,
    EventSettings,
    KafkaSettings,
    Port,
    RedisSettings,
    S3Settings,
    ServiceSettings,
    ShopSettings,
)


class AggregatorSettings(
    ServiceSettings, KafkaSettings, RedisSettings, S3Settings, ShopSettings, EventSettings, DeadLetterLimits
):
    """Every field is set by `TILLSTREAM_<FIELD>`."""

    aggregator_metrics_port: Port = 9103
    # The consumer group, which is also Faust's application id.
    aggregator_group: str = "tillstream-aggregator"
    # After so long without a heartbeat its partitions go to another aggregator. Kafka accepts 6 s and more.
    aggregator_session_timeout_s: float = Field(default=15.0, ge=6, le=90)
    # Static membership: restarted under the same name within the timeout, it gets its partitions back at once. No two
    # running aggregators may share a name, and one that is stopped for good keeps its partitions until the timeout.
    aggregator_instance: str | None = Field(default=None, min_length=1, max_length=200)
    # Records folded into one script call per shard. Redis serves nobody else meanwhile: 1,000 take some 20 ms there.
    aggregator_chunk: int = Field(default=1000, ge=1, le=2000)
    # Brands, categories and products that a shard counts by name; any more are counted under "other". The page reads
    # all brands and categories every second.
    aggregator_max_brands: int = Field(default=20_000, ge=1)
    aggregator_max_categories: int = Field(default=5_000, ge=1)
    aggregator_max_products: int = Field(default=1_000_000, ge=1)
    # Skip records that are in neither Kafka nor the archive. Otherwise they are an error.
    aggregator_accept_missing_history: bool = False
    # How often a snapshot of the live figures is stored in S3, for the batch job to compare with; 0 stores none.
    aggregator_snapshot_seconds: float = Field(default=300, ge=0)
    # How many of the newest snapshots are kept: the archive must catch up with one of them before it is deleted.
    aggregator_snapshots_kept: int = Field(default=48, ge=2)
