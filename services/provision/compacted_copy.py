"""Copies a compacted topic to another cluster: its records in their order, without their offsets.

Compaction has left gaps in the offsets, and nothing refers to a record of it by offset. Copied once more, each product
ends with the same record.
"""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.common.kafka import make_consumer, partitions_of, position_now, producer_options, stop
from services.common.settings import KafkaSettings

_FETCH_MS = 1000
_FETCH_RECORDS = 4000


async def copy_compacted(source: KafkaSettings, target: KafkaSettings, topic: str) -> int:
    """Copy what the topic holds now; returns how many records. The target has the topic. Raises KafkaError."""
    consumer = make_consumer(source, group_id=None, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        async with AIOKafkaProducer(**producer_options(target)) as producer:
            return await _copy(consumer, producer, topic)
    finally:
        await stop(consumer)


async def _copy(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, topic: str) -> int:
    partitions = await partitions_of(consumer, topic)
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    copied = 0
    while any((position_now(consumer, each) or 0) < end for each, end in ends.items()):
        fetched = await consumer.getmany(timeout_ms=_FETCH_MS, max_records=_FETCH_RECORDS)
        for records in fetched.values():
            for record in records:
                await producer.send(topic, record.value, record.key)
            copied += len(records)
        await producer.flush()
    return copied
