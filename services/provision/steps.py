"""The steps of provisioning: topics, bucket, growth. Each waits for its engine and may be repeated."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from services.common.kafka import until_reachable
from services.common.object_store import ObjectStore
from services.common.settings import KafkaSettings, S3Settings
from services.common.topics import Topic
from services.provision.plan import (
    Difference,
    FoundTopic,
    config_differences,
    configured,
    planned,
    shape_differences,
)
from services.provision.settings import TopicSettings
from services.provision.topics import TopicAdmin, is_passing, topic_admin
from services.provision.waiting import Patience, Say

T = TypeVar("T")

_PAUSE_S = 1.0


class HarmfulDifference(Exception):
    """A topic is set so that the services would work wrongly; the message names topic, setting and remedy."""


class TopicsStep:
    """Creates the topics that are missing, and compares the others with the settings.

    With `apply`, existing topics get the configuration of the settings; what else is set on them stays. Partitions and
    replicas of an existing topic are only compared.
    """

    def __init__(self, settings: TopicSettings, *, apply: bool, say: Say) -> None:
        self._settings = settings
        self._apply = apply
        self._say = say
        self._created: set[str] = set()  # also in an attempt that failed afterwards

    async def run(self, within_s: float) -> list[str]:
        """Provision, however often Kafka has to be asked; returns a line for each topic.

        Raises HarmfulDifference, NotInTime, KafkaError.
        """
        topics, found = await with_kafka(self._settings, self._attempt, within_s, self._say)
        self._report_differences(topics, found)
        return [self._state(name, each) for name, each in found.items()]

    async def _attempt(self, admin: TopicAdmin) -> tuple[list[Topic], dict[str, FoundTopic]]:
        topics = planned(self._settings)
        names = [topic.name for topic in topics]
        there = await admin.find(names)
        missing = [topic for topic in topics if topic.name not in there]
        self._created |= await admin.create(missing, self._settings.kafka_replication)
        found = await admin.find_all(names)  # again: a broker learns of new topics and their leaders a little later
        existing = {topic.name: topic for topic in topics if topic.name not in self._created}
        if self._apply:
            fitting = [configured(topic, found[name].partitions, self._settings) for name, topic in existing.items()]
            changed = [topic for topic in fitting if any(config_differences(topic, found[topic.name]))]
            await admin.configure(changed, {name: each.overrides for name, each in found.items()})
            # Acknowledged; asked again, a broker may still answer with the values of before.
            found |= {topic.name: found[topic.name].with_config(topic.config) for topic in changed}
        return topics, found

    def _state(self, name: str, found: FoundTopic) -> str:
        done = "created" if name in self._created else "exists"
        return f"topic {name}: {done}, partitions {found.partitions}, replicas {found.replicas}"

    def _report_differences(self, topics: list[Topic], found: dict[str, FoundTopic]) -> None:
        differences: list[Difference] = []
        for topic in topics:
            each = found[topic.name]
            differences += config_differences(configured(topic, each.partitions, self._settings), each)
            differences += shape_differences(topic, each, self._settings)
        for difference in differences:
            self._say(difference.text)
        if harmful := [difference.text for difference in differences if difference.harmful]:
            raise HarmfulDifference("; ".join(harmful))


async def ensure_bucket(settings: S3Settings, within_s: float, say: Say) -> str:
    """Create the bucket if it does not exist; returns a line about it. Raises NotInTime, ClientError (a refusal)."""
    patience = Patience(f"S3 at {settings.s3_endpoint or 'AWS'}", within_s, say)
    with closing(ObjectStore(settings)) as store:
        while True:
            try:
                existed = await asyncio.to_thread(_create, store)
            except (BotoCoreError, ClientError) as error:
                if _is_refusal(error):
                    raise
                patience.on_wait(error)
            else:
                return f"bucket {store.bucket}: {'exists' if existed else 'created'}"
            await asyncio.sleep(_PAUSE_S)


def _create(store: ObjectStore) -> bool:
    """Whether the bucket existed."""
    if store.exists():
        return True
    try:
        store.create_bucket()
    except ClientError:
        if store.exists():  # another provisioner was faster
            return True
        raise
    return False


def _is_refusal(error: Exception) -> bool:
    """Whether S3 has answered and will not change its mind: wrong keys, a name that another account has."""
    return isinstance(error, ClientError) and 400 <= error.response["ResponseMetadata"]["HTTPStatusCode"] < 500


async def grow_purchases(settings: TopicSettings, partitions: int, within_s: float, say: Say) -> None:
    """Give the purchases topic so many partitions. Raises CannotGrow, NotInTime, KafkaError."""
    topic = settings.purchases_topic
    before: list[int] = []  # of the first attempt: another one may find the partitions added

    async def attempt(admin: TopicAdmin) -> None:
        before.append(await admin.grow(topic, partitions))
        await admin.find([topic])  # raises until the new partitions have leaders

    await with_kafka(settings, attempt, within_s, say)
    if before[0] == partitions:
        say(f"topic {topic}: it has {partitions} partitions already")
    else:
        say(f"topic {topic}: {before[0]} partitions became {partitions}; every reader notices within a minute")


async def with_kafka(
    settings: KafkaSettings, work: Callable[[TopicAdmin], Awaitable[T]], within_s: float, say: Say
) -> T:
    """What `work` returns, given an admin, and begun again while Kafka is away. Raises NotInTime, KafkaError."""
    patience = Patience(f"Kafka at {settings.kafka_bootstrap}", within_s, say)

    async def attempt() -> T:
        async with topic_admin(settings) as admin:
            return await work(admin)

    def on_wait(error: Exception) -> None:
        if not is_passing(error):
            raise error
        patience.on_wait(error)

    return await until_reachable(attempt, on_wait, _PAUSE_S)
