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

ALL = (PURCHASES, DEAD_LETTERS, RECOMMENDATIONS)
