"""What the topics should be like, and how one that exists differs from that. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from services.common.topics import DEAD_LETTERS, PRODUCTS, PURCHASES, RECOMMENDATIONS, Topic
from services.provision.settings import TopicSettings

# Kafka deletes whole segments and never the active one: retention acts in steps of this share.
_SEGMENTS_KEPT = 8
_MS_AN_HOUR = 3_600_000
_SMALLEST_SEGMENT = 1024 * 1024
# Without the broker's time, freshness, ticker and the rule about the future would use the senders' clocks. A catalogue
# that is not compacted loses products with their age.
_REQUIRED = frozenset({"message.timestamp.type", "cleanup.policy"})


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic on the brokers. `replicas`: the fewest of any partition. `overrides`: the part of `config` set on it."""

    partitions: int
    replicas: int
    config: Mapping[str, str]
    overrides: Mapping[str, str]

    def with_config(self, config: Mapping[str, str]) -> Self:
        """The topic after these values were set on it."""
        return replace(self, config={**self.config, **config}, overrides={**self.overrides, **config})


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a topic differs from the settings. Services work wrongly with a `harmful` one."""

    text: str
    harmful: bool = False


def planned(settings: TopicSettings) -> list[Topic]:
    """The topics as the settings ask for them."""
    retention = {"retention.ms": str(int(settings.kafka_retention_hours * _MS_AN_HOUR))}
    purchases = replace(
        PURCHASES,
        name=settings.purchases_topic,
        partitions=settings.kafka_partitions,
        config={**PURCHASES.config, **retention},
    )
    others = (
        replace(DEAD_LETTERS, name=settings.dead_letters_topic),
        replace(RECOMMENDATIONS, name=settings.recommendations_topic),
        replace(PRODUCTS, name=settings.products_topic),
    )
    return [configured(topic, topic.partitions, settings) for topic in (purchases, *others)]


def configured(topic: Topic, partitions: int, settings: TopicSettings) -> Topic:
    """The topic with the configuration that fits so many partitions."""
    config = dict(topic.config)
    if settings.kafka_replication > 1:
        config["min.insync.replicas"] = str(settings.kafka_replication - 1)
    if settings.kafka_retention_bytes is not None and not topic.is_compacted:
        config |= _bounds(topic, settings.kafka_retention_bytes // partitions)
    return replace(topic, config=config)


def _bounds(topic: Topic, partition_bytes: int) -> dict[str, str]:
    """A bound on a partition's bytes, and segments small enough for its retention."""
    return {
        "retention.bytes": str(partition_bytes),
        "segment.bytes": str(max(partition_bytes // _SEGMENTS_KEPT, _SMALLEST_SEGMENT)),
        "segment.ms": str(int(topic.config["retention.ms"]) // _SEGMENTS_KEPT),
    }


def config_differences(topic: Topic, found: FoundTopic) -> Iterator[Difference]:
    """Where the configuration of an existing topic is not the planned one."""
    for name, value in topic.config.items():
        if (held := found.config.get(name)) != value:
            text = f"topic {topic.name}: {name} is {held}, the settings say {value}; --apply sets it"
            yield Difference(text, harmful=name in _REQUIRED)


def shape_differences(topic: Topic, found: FoundTopic, settings: TopicSettings) -> Iterator[Difference]:
    """Where partitions or replicas of an existing topic are not the planned ones."""
    if found.partitions < topic.partitions:  # more of them is what `grow` leaves
        grow = f"`python -m services.provision grow --partitions {topic.partitions}`"
        advice = f"; {grow} adds them" if topic.name == settings.purchases_topic else ""
        yield Difference(
            f"topic {topic.name}: it has {found.partitions} partitions, the settings say {topic.partitions}{advice}"
        )
    if topic.is_compacted and found.partitions > topic.partitions:
        yield Difference(
            f"topic {topic.name}: it has {found.partitions} partitions and must have {topic.partitions}, else the last "
            "write of a product is not known. Kafka removes none: delete the topic, run this again, and send the "
            "catalogue again",
            harmful=True,
        )
    if found.replicas != settings.kafka_replication:
        yield Difference(
            f"topic {topic.name}: it has {found.replicas} replicas of a partition, the settings say "
            f"{settings.kafka_replication}; Kafka's kafka-reassign-partitions changes that"
        )
