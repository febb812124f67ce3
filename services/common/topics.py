"""The topics: producers, consumers, key, partitions and configuration of each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's contract. `config` holds the broker's settings that the contract depends on."""

    name: str
    description: str
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    partitions: int
    config: dict[str, str]

    @property
    def is_compacted(self) -> bool:
        """Whether Kafka keeps the newest record of each key, and no record ends with its age."""
        return self.config.get("cleanup.policy") == "compact"


PURCHASES = Topic(
    name="purchases",
    description="One purchase line a record, JSON (services/common/events.py).",
    key="user_id, or order_id where the buyer is anonymous; none from third-party producers",
    producers=("producer", "gateway", "deadletters"),
    consumers=("aggregator", "archiver", "recommender"),
    partitions=4,
    config={
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "604800000",
        "max.message.bytes": "1048576",
    },
)

DEAD_LETTERS = Topic(
    name="purchases.dlq",
    description="Rejected records: the original bytes, the reason in headers.",
    key="of a record its topic and partition, of a row the event id that it would have had: repeats share a partition",
    producers=("producer", "aggregator"),
    consumers=("aggregator", "deadletters"),
    partitions=4,
    config={
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "2592000000",
        "max.message.bytes": "1048576",
    },
)

RECOMMENDATIONS = Topic(
    name="recommendations",
    description="Impressions of a sample of customers, with the model, JSON (services/recommender/impressions.py).",
    key="user_id",
    producers=("recommender",),
    consumers=(),
    partitions=4,
    config={
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "2592000000",
        "max.message.bytes": "1048576",
    },
)

PRODUCTS = Topic(
    name="products",
    description="The shop's catalogue: the newest record of each product, JSON (services/common/products.py).",
    key="product_id",
    producers=("producer", "gateway"),
    consumers=("recommender", "gateway"),
    # One, for ever: the last write wins by the order of the log, and senders place a key by different hashes.
    partitions=1,
    config={
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": "1048576",
        # Only closed segments are compacted: small ones, closed daily, and cleaned once a fifth is outdated.
        "segment.bytes": "67108864",
        "segment.ms": "86400000",
        "min.cleanable.dirty.ratio": "0.2",
    },
)

ALL = (PURCHASES, DEAD_LETTERS, RECOMMENDATIONS, PRODUCTS)
