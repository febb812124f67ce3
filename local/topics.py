"""Create the topics of services/common/topics.py."""

from collections.abc import Iterable
from dataclasses import replace

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from services.common.kafka import client_options
from services.common.settings import KafkaSettings
from services.common.topics import DEAD_LETTERS, PURCHASES, Topic


async def create_topics(settings: KafkaSettings) -> None:
    """Create both topics by the names in the settings; one that exists stays as it is."""
    await create(
        settings,
        [
            replace(PURCHASES, name=settings.purchases_topic),
            replace(DEAD_LETTERS, name=settings.dead_letters_topic),
        ],
    )


async def create(settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    """Create topics with their contract's partitions and configuration, one replica each."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        answer = await admin.create_topics([_new_topic(topic) for topic in topics])
    finally:
        await admin.close()
    for name, code, *message in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise for_code(code)(f"{name}: {' '.join(map(str, message))}")


def _new_topic(topic: Topic) -> NewTopic:
    return NewTopic(topic.name, topic.partitions, replication_factor=1, topic_configs=topic.config)
