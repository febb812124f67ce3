"""Creates, compares, configures and grows the topics. Each call may be repeated: what is done already stays."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidReplicationFactorError,
    LeaderNotAvailableError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from services.common.kafka import client_options, describe_topics, is_missing
from services.common.settings import KafkaSettings
from services.common.topics import Topic
from services.provision.plan import FoundTopic

_SET_ON_THE_TOPIC = 1  # config source DYNAMIC_TOPIC_CONFIG
_REQUEST_TIMEOUT_MS = 10_000


class CannotGrow(Exception):
    """A topic does not exist, or has more partitions than were asked for."""


class TopicAdmin:
    """Kafka's admin calls on whole topics. All raise KafkaError."""

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def find(self, names: Sequence[str]) -> dict[str, FoundTopic]:
        """Those of the topics that exist. Raises LeaderNotAvailableError where a partition has no leader yet."""
        described = await describe_topics(self._client, names)
        found = {each["topic"]: each for each in described if not is_missing(each)}
        configs = await self._configs(list(found)) if found else {}
        return {name: _found(each, configs[name]) for name, each in found.items()}

    async def find_all(self, names: Sequence[str]) -> dict[str, FoundTopic]:
        """The topics, which all exist. Raises UnknownTopicOrPartitionError where a broker does not know one yet."""
        found = await self.find(names)
        if unknown := sorted(set(names) - set(found)):
            raise UnknownTopicOrPartitionError(f"the broker does not know {', '.join(unknown)} yet")
        return found

    async def create(self, topics: Iterable[Topic], replication: int = 1) -> set[str]:
        """Create topics with their partitions and configuration; returns the names of those that did not exist."""
        asked = [
            NewTopic(topic.name, topic.partitions, replication_factor=replication, topic_configs=topic.config)
            for topic in topics
        ]
        if not asked:
            return set()
        answer = await self._client.create_topics(asked, timeout_ms=_REQUEST_TIMEOUT_MS)
        created = set()
        for name, code, *message in answer.topic_errors:
            if not code:
                created.add(name)
            elif (error := for_code(code)) is not TopicAlreadyExistsError:
                raise error(f"{name}: {' '.join(map(str, message))}")
        return created

    async def configure(self, topics: Iterable[Topic], overrides: Mapping[str, Mapping[str, str]]) -> None:
        """Give existing topics their configuration. `overrides`: topic → what is set on it and shall stay."""
        resources = [
            # The request replaces all that is set on a topic.
            ConfigResource(ConfigResourceType.TOPIC, topic.name, configs={**overrides[topic.name], **topic.config})
            for topic in topics
        ]
        for answer in await self._client.alter_configs(resources) if resources else ():
            for code, message, _type, name in answer.resources:
                if code:
                    raise for_code(code)(f"{name}: {message}")

    async def grow(self, topic: str, partitions: int) -> int:
        """Give a topic so many partitions; returns how many it had. Raises CannotGrow."""
        found = (await self.find([topic])).get(topic)
        if found is None:
            raise CannotGrow(f"topic {topic} does not exist: `python -m services.provision` creates it")
        if found.partitions > partitions:
            raise CannotGrow(f"topic {topic} has {found.partitions} partitions, and Kafka removes none")
        if found.partitions < partitions:
            await self._client.create_partitions({topic: NewPartitions(partitions)}, timeout_ms=_REQUEST_TIMEOUT_MS)
        return found.partitions

    async def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Let a partition's log begin at an offset."""
        await self._client.delete_records({partition: RecordsToDelete(offset)})

    async def _configs(self, names: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found = {}
        for answer in await self._client.describe_configs(resources):
            for code, message, _type, name, entries in answer.resources:
                if code:
                    raise for_code(code)(f"{name}: {message}")
                found[name] = entries
        return found


def _found(described: Mapping[str, Any], entries: Iterable[tuple[Any, ...]]) -> FoundTopic:
    partitions = described["partitions"]
    if not partitions or any(each["leader"] < 0 for each in partitions):
        raise LeaderNotAvailableError(f"{described['topic']}: a partition has no leader yet")
    entries = list(entries)  # name, value, read only, source, sensitive, synonyms
    return FoundTopic(
        partitions=len(partitions),
        replicas=min(len(each["replicas"]) for each in partitions),
        config={entry[0]: entry[1] for entry in entries},
        overrides={entry[0]: entry[1] for entry in entries if entry[3] == _SET_ON_THE_TOPIC},
    )


@asynccontextmanager
async def topic_admin(settings: KafkaSettings) -> AsyncIterator[TopicAdmin]:
    """An admin with a client of its own. Raises KafkaError."""
    client = AIOKafkaAdminClient(**client_options(settings))
    try:
        await client.start()
        yield TopicAdmin(client)
    finally:
        await client.close()


async def create(settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    """Create topics with one replica each; one that exists stays. Raises KafkaError."""
    async with topic_admin(settings) as admin:
        await admin.create(topics)


def is_passing(error: Exception) -> bool:
    """Whether waiting may help: brokers that are away or still starting, and no mistake in the settings."""
    return getattr(error, "retriable", isinstance(error, OSError)) or isinstance(error, InvalidReplicationFactorError)
