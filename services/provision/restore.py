"""Topics for a shop of which only the bucket is left: its logs begin where the archive ends (docs/runbooks/restore.md).

Everything refers to records by offset, and the archive has all of them up to its end. So the new log begins with that
offset: the rebuild reads what is before it from the archive, and the archiver goes on after its last object.
"""

import asyncio
from contextlib import aclosing, closing

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.common.archive.keys import PREFIX, Extent, newest_keys
from services.common.object_store import ObjectStore
from services.provision.log_copy import CannotCopy, Filled
from services.provision.log_writer import LogWriter
from services.provision.partition_copy import log_consumer, log_range, read_log
from services.provision.plan import planned
from services.provision.settings import ProvisionSettings, TopicSettings
from services.provision.steps import with_kafka
from services.provision.topics import TopicAdmin, topic_admin
from services.provision.waiting import Pulse, Say

_FILLED_AT_ONCE = 500_000
_SENT = "stop what sends, have its records sent again afterwards, delete the topic, and begin again"


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
    newest = newest_keys(key for key, _size in store.list(PREFIX))
    return {partition: Extent.read(key, store.metadata(key)).next_offset for partition, key in newest.items()}


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
    """Fill the log up to an offset, and delete what fills it. Raises CannotCopy where records would be lost."""
    name = f"{partition.topic}/{partition.partition}"
    async with log_consumer(settings) as consumer, LogWriter(settings) as writer:
        first, reached = await log_range(consumer, partition)
        if reached > begin:
            raise CannotCopy(
                f"{name} ends at offset {reached}, the archive at {begin}: it has records that are not archived. "
                "Delete the topic to restore from the bucket, or start the services, which go on with it"
            )
        if await _has_records(consumer, partition, first, reached):
            if reached < begin:
                raise CannotCopy(f"{name} has records before offset {begin}, which nobody has archived: {_SENT}")
            say(f"{name}: its records are archived up to its end, {begin:,}; nothing to do")
            return
        await _fill(writer, consumer, partition, (reached, begin), Pulse(say))
    await admin.delete_before(partition, begin)
    say(f"{name}: begins at offset {begin:,}, where the archive ends")


async def _fill(
    writer: LogWriter, consumer: AIOKafkaConsumer, partition: TopicPartition, offsets: tuple[int, int], pulse: Pulse
) -> None:
    """Fill these offsets (start, end). Raises CannotCopy where somebody else got one of them."""
    reached, end = offsets
    name = f"{partition.topic}/{partition.partition}"
    while reached < end:
        count = min(end - reached, _FILLED_AT_ONCE)
        await writer.write(partition, Filled(count))
        _first, now = await log_range(consumer, partition)
        if now != reached + count:
            raise CannotCopy(f"something else writes to {name}: {_SENT}")
        reached = now
        pulse.at(f"preparing {name}", reached, end)


async def _has_records(consumer: AIOKafkaConsumer, partition: TopicPartition, begin: int, end: int) -> bool:
    """Whether a part of the log holds anything but fillers."""
    async with aclosing(read_log(consumer, partition, begin, end)) as log:
        async for records in log:
            if any(record.key is not None or record.value for record in records):
                return True
    return False
