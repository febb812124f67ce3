"""Topic `purchases` of a trial: its partitions, its records, its beginning."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from services.common.kafka import make_consumer, partitions_of
from services.common.settings import KafkaSettings
from services.provision.topics import topic_admin
from tests.faults.compare import RecordPosition
from tests.support.archive import as_archived

_PAUSE_S = 0.5
_STALLED_AFTER_S = 60


async def grow(settings: KafkaSettings, more: int) -> tuple[int, int]:
    """Add partitions; how many there were and are. Waits for a broker that is away."""
    wanted = 0
    while True:
        try:
            async with topic_admin(settings) as admin:
                before = (await admin.find([settings.purchases_topic]))[settings.purchases_topic].partitions
                wanted = wanted or before + more
                return await admin.grow(settings.purchases_topic, wanted), wanted
        except (KafkaError, OSError):
            await asyncio.sleep(_PAUSE_S)


async def trim(settings: KafkaSettings, before: Mapping[int, int]) -> None:
    """Delete the records below these offsets, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        topic = settings.purchases_topic
        await admin.delete_records({TopicPartition(topic, p): RecordsToDelete(offset) for p, offset in before.items()})
    finally:
        await admin.close()


async def new_records(
    settings: KafkaSettings, first: Mapping[int, int]
) -> tuple[dict[RecordPosition, Any], dict[int, int]]:
    """The committed records from these offsets on, as the archive must have them, and where they end.

    A partition without an offset is read from its beginning.
    """
    async with make_consumer(settings, group_id=None, auto_offset_reset="earliest") as consumer:
        partitions = await partitions_of(consumer, settings.purchases_topic)
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, first.get(partition.partition, 0))
        found: dict[RecordPosition, Any] = {}
        async with asyncio.timeout(_STALLED_AFTER_S):
            # Only the consumer knows where it is behind markers and aborted records.
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                    found |= {(partition.partition, r.offset): _line(partition.partition, r) for r in records}
    return found, {partition.partition: end for partition, end in ends.items()}


def _line(partition: int, record: Any) -> Any:
    return {
        "partition": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        **as_archived(record.value),
    }
