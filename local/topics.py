"""Create the topics of services/common/topics.py, with retention limits for one machine's disk."""

from collections.abc import Iterable
from dataclasses import replace

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from local.settings import StackSettings
from services.common.kafka import client_options
from services.common.settings import KafkaSettings
from services.common.topics import DEAD_LETTERS, PURCHASES, RECOMMENDATIONS, Topic

# Kafka deletes whole segments and never the active one: retention acts in steps of this share.
_SEGMENTS_KEPT = 8
_MS_AN_HOUR = 3_600_000
_SMALLEST_SEGMENT = 1024 * 1024


async def create_topics(settings: StackSettings) -> None:
    """Create the topics by the names in the settings, and give them the retention of the settings, new or not."""
    retention = {"retention.ms": str(int(settings.kafka_retention_hours * _MS_AN_HOUR))}
    asked = [
        replace(PURCHASES, name=settings.purchases_topic, config={**PURCHASES.config, **retention}),
        replace(DEAD_LETTERS, name=settings.dead_letters_topic),
        replace(RECOMMENDATIONS, name=settings.recommendations_topic),
    ]
    topics = [bounded(topic, settings.kafka_retention_bytes) for topic in asked]
    await create(settings, topics)
    await configure(settings, topics)


def bounded(topic: Topic, retention_bytes: int) -> Topic:
    """The topic with a bound on its bytes, all partitions together, and segments small enough for its retention."""
    a_partition = retention_bytes // topic.partitions
    segment = max(a_partition // _SEGMENTS_KEPT, _SMALLEST_SEGMENT)
    bounds = {
        "retention.bytes": str(a_partition),
        "segment.bytes": str(segment),
        "segment.ms": str(int(topic.config["retention.ms"]) // _SEGMENTS_KEPT),
    }
    return replace(topic, config={**topic.config, **bounds})


async def create(settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    """Create topics with their contract's partitions and configuration, one replica each; one that exists stays."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        answer = await admin.create_topics([_new_topic(topic) for topic in topics])
    finally:
        await admin.close()
    for name, code, *message in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise for_code(code)(f"{name}: {' '.join(map(str, message))}")


async def configure(settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    """Give topics that exist the configuration of these."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=topic.config) for topic in topics]
        answers = await admin.alter_configs(resources)
    finally:
        await admin.close()
    for answer in answers:
        for code, message, _type, name in answer.resources:
            if code:
                raise for_code(code)(f"{name}: {message}")


def _new_topic(topic: Topic) -> NewTopic:
    return NewTopic(topic.name, topic.partitions, replication_factor=1, topic_configs=topic.config)
