"""Moves the topics to another cluster: every record keeps its partition, its offset and its time (docs/adr/0089).
The catalogue is compacted: its records keep their order alone.

Then all that refers to records by offset stays true: the marks of the live tables, the archive, the cut-offs of the
models, the origins of dead letters. The command may be repeated: it goes on where it has ended.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from aiokafka import TopicPartition

from services.common.settings import KafkaSettings
from services.common.topics import Topic
from services.provision.compacted_copy import copy_compacted
from services.provision.log_copy import CannotCopy
from services.provision.log_writer import LogWriter
from services.provision.partition_copy import PartitionCopy, log_consumer
from services.provision.plan import FoundTopic, configured, planned
from services.provision.settings import TopicSettings
from services.provision.steps import with_kafka
from services.provision.topics import TopicAdmin, topic_admin
from services.provision.waiting import Pulse, Say

_TIME_TYPE = "message.timestamp.type"
_SENDERS_TIME = {_TIME_TYPE: "CreateTime"}
_PAUSE_S = 0.2


async def move_topics(settings: TopicSettings, source: KafkaSettings, within_s: float, say: Say) -> None:
    """Copy the topics from `source` to the cluster of the settings, as far as they are now.

    Raises CannotCopy, NotInTime, KafkaError.
    """
    if source.kafka_bootstrap == settings.kafka_bootstrap:
        raise CannotCopy(f"{source.kafka_bootstrap} is the source and the target: set TILLSTREAM_KAFKA_BOOTSTRAP")
    found = await _topics_of(settings, source, within_s, say)
    topics = [topic for topic in found if not topic.is_compacted]
    await with_kafka(settings, lambda admin: _make_room(admin, topics, settings), within_s, say)
    async with topic_admin(settings) as admin, _senders_times(admin, topics):
        await _copy(settings, source, admin, topics, say)
    for topic in found:
        if topic.is_compacted:
            await _copy_compacted(settings, source, topic, say)
    say("every copied record was compared with its source: partition, offset, time, key, headers and value")


async def _copy_compacted(settings: TopicSettings, source: KafkaSettings, topic: Topic, say: Say) -> None:
    async with topic_admin(settings) as admin:
        await admin.create([topic], settings.kafka_replication)
        await admin.find_all([topic.name])
    copied = await copy_compacted(source, settings, topic.name)
    say(f"{topic.name}: {copied:,} records copied in their order, without their offsets")


async def _topics_of(settings: TopicSettings, source: KafkaSettings, within_s: float, say: Say) -> list[Topic]:
    """Those of our topics that the source has, with the partitions that they have there."""
    wanted = planned(settings)
    found = await with_kafka(source, lambda admin: admin.find([topic.name for topic in wanted]), within_s, say)
    if settings.purchases_topic not in found:
        raise CannotCopy(f"Kafka at {source.kafka_bootstrap} has no topic {settings.purchases_topic}")
    there = [replace(topic, partitions=found[topic.name].partitions) for topic in wanted if topic.name in found]
    return [configured(topic, topic.partitions, settings) for topic in there]


async def _make_room(admin: TopicAdmin, topics: list[Topic], settings: TopicSettings) -> None:
    """Create the topics that are missing at the target, and give the others as many partitions."""
    there = await admin.find([topic.name for topic in topics])
    missing = [replace(topic, config={**topic.config, **_SENDERS_TIME}) for topic in topics if topic.name not in there]
    await admin.create(missing, settings.kafka_replication)
    for topic in topics:
        if topic.name in there and there[topic.name].partitions < topic.partitions:
            await admin.grow(topic.name, topic.partitions)
    await admin.find_all([topic.name for topic in topics])  # raises until all partitions have leaders


@asynccontextmanager
async def _senders_times(admin: TopicAdmin, topics: list[Topic]) -> AsyncIterator[None]:
    """The topics take the times of records as they are sent; afterwards the broker gives them its own again."""
    found = await admin.find_all([topic.name for topic in topics])
    try:
        await _configure(admin, [replace(topic, config={**topic.config, **_SENDERS_TIME}) for topic in topics], found)
        yield
    finally:
        await _configure(admin, topics, found)


async def _configure(admin: TopicAdmin, topics: list[Topic], found: Mapping[str, FoundTopic]) -> None:
    """Configure, and wait until the broker says that it has."""
    await admin.configure(topics, {name: topic.overrides for name, topic in found.items()})
    wanted = {topic.name: topic.config[_TIME_TYPE] for topic in topics}
    while True:
        asked = await admin.find_all([*wanted])
        if {name: topic.config[_TIME_TYPE] for name, topic in asked.items()} == wanted:
            return
        await asyncio.sleep(_PAUSE_S)


async def _copy(
    settings: TopicSettings, source: KafkaSettings, admin: TopicAdmin, topics: list[Topic], say: Say
) -> None:
    async with log_consumer(source) as read, log_consumer(settings) as compare, LogWriter(settings) as writer:
        pulse = Pulse(say)
        for topic in topics:
            for number in range(topic.partitions):
                name = f"{topic.name}/{number}"
                copy = PartitionCopy(TopicPartition(topic.name, number), read, compare, writer, pulse)
                try:
                    copied = await copy.run(admin)
                except CannotCopy as error:
                    raise CannotCopy(f"{name}: {error}. {_remedy(topic.name, settings)}") from error
                say(f"{name}: {copied.records:,} records copied, from offset {copied.begin:,} to {copied.end:,}")


def _remedy(topic: str, settings: KafkaSettings) -> str:
    return (
        f"Delete topic {topic} at {settings.kafka_bootstrap} and run the command again: it writes the topic itself, "
        "with the offsets of the source, which a mirror does not keep"
    )
