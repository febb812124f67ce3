"""Topics for a shop of which only the bucket is left: its logs begin where the archive ends (docs/runbooks/restore.md).

Everything refers to records by offset, and the archive has all of them up to its end. So the new log begins with that
offset: the rebuild reads what is before it from the archive, and the archiver goes on after its last object.
"""

import asyncio
from contextlib import closing

from aiokafka import TopicPartition

from services.common.archive.keys import PREFIX, Extent, partition_and_first_offset
from services.common.object_store import ObjectStore
from services.provision.log_copy import CannotCopy, Filled
from services.provision.log_writer import LogWriter
from services.provision.partition_copy import log_consumer, log_range
from services.provision.plan import planned
from services.provision.settings import ProvisionSettings, TopicSettings
from services.provision.steps import with_kafka
from services.provision.topics import TopicAdmin, topic_admin
from services.provision.waiting import Pulse, Say

_FILLED_AT_ONCE = 500_000


async def restore_topics(settings: ProvisionSettings, within_s: float, say: Say) -> None:
    """Create the topics, and let each partition of purchases begin where the archive ends.

    Raises CannotCopy, NotInTime, KafkaError, NoSuchObject, ForeignObject, and botocore's errors.
    """
    with closing(ObjectStore(settings)) as store:
        ends = await asyncio.to_thread(archive_ends, store)
    if not ends:
        raise CannotCopy(f"bucket {settings.s3_bucket} has no objects of the archiver below {PREFIX}")
    await with_kafka(settings, lambda admin: _make_topics(admin, settings, max(ends) + 1), within_s, say)
    async with topic_admin(settings) as admin:
        for number, end in sorted(ends.items()):
            await _begin_at(settings, admin, TopicPartition(settings.purchases_topic, number), end, say)
    say("next: python -m services.aggregator.rebuild")


def archive_ends(store: ObjectStore) -> dict[int, int]:
    """By partition, the offset after the archive's last record. Raises NoSuchObject, ForeignObject."""
    newest: dict[int, tuple[int, str]] = {}
    for key, _size in store.list(PREFIX):
        if named := partition_and_first_offset(key):
            partition, first_offset = named
            newest[partition] = max(newest.get(partition, (-1, "")), (first_offset, key))
    return {partition: Extent.read(key, store.metadata(key)).next_offset for partition, (_, key) in newest.items()}


async def _make_topics(admin: TopicAdmin, settings: TopicSettings, partitions: int) -> None:
    """Create all topics; purchases with as many partitions as the archive has, or more."""
    most = max(partitions, settings.kafka_partitions)
    topics = planned(settings.model_copy(update={"kafka_partitions": most}))
    await admin.create(topics, settings.kafka_replication)
    await admin.find_all([topic.name for topic in topics])  # raises until all partitions have leaders
    await admin.grow(settings.purchases_topic, most)


async def _begin_at(
    settings: TopicSettings, admin: TopicAdmin, partition: TopicPartition, begin: int, say: Say
) -> None:
    """Fill the log up to an offset, and delete what fills it. Raises CannotCopy where it has records of its own."""
    name = f"{partition.topic}/{partition.partition}"
    async with log_consumer(settings) as consumer, LogWriter(settings) as writer:
        _first, reached = await log_range(consumer, partition)
        if reached > begin:
            raise CannotCopy(
                f"{name} ends at offset {reached}, the archive at {begin}: it has records that are not archived. "
                "Delete the topic to restore from the bucket, or start the services, which go on with it"
            )
        pulse = Pulse(say)
        while reached < begin:
            await writer.write(partition, Filled(min(begin - reached, _FILLED_AT_ONCE)))
            _first, reached = await log_range(consumer, partition)
            pulse.at(f"preparing {name}", reached, begin)
    await admin.delete_before(partition, begin)
    say(f"{name}: begins at offset {begin:,}, where the archive ends")
