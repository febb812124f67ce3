"""A customer is erased on a real Valkey and S3: no store names them, and every other figure stays."""

import gzip
import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from services.aggregator.erasures import ErasureWatch, remove_erased
from services.common.archive.keys import Extent, object_key
from services.common.archive.lines import archive_line
from services.common.erasure_list import add_erased, digest_in, read_erased
from services.common.event_rules import DEFAULT_RULES
from services.common.object_store import ObjectStore
from services.common.settings import KafkaSettings, S3Settings
from services.privacy.commands import erase, show_audit
from services.privacy.live import records_of, tables_of
from services.privacy.settings import PrivacySettings
from tests.support.applied_figures import assert_equal, counted, partitions_of
from tests.support.applier import applier_of, store_of
from tests.support.bucket import Bucket
from tests.support.engines import TopicFactory
from tests.support.records import NOW, FakeRecord, encode, random_events

USER = "customer-1515915625441993984"
SEED = 11


@pytest.fixture
def store(s3: S3Settings) -> Iterator[ObjectStore]:
    store = ObjectStore(s3)
    yield store
    store.close()


def events_of(user: str | None) -> list[dict[str, Any]]:
    """The same purchases each time; those of `user-7` are of this user."""
    return [
        event | {"user_id": user if event["user_id"] == "user-7" else event["user_id"]}
        for event in random_events(SEED, 400)
    ]


def held_in_redis(client: redis.Redis) -> bytes:
    """All keys and values, as one text."""
    read: dict[str, Callable[[bytes], Any]] = {
        "hash": client.hgetall,
        "zset": lambda key: client.zrange(key, 0, -1),
        "set": client.smembers,
        "stream": client.xrange,
        "list": lambda key: client.lrange(key, 0, -1),
        "string": client.get,
    }
    kinds = ((key, client.type(key)) for key in client.scan_iter(count=1000))
    held = ((key, read[kind.decode() if isinstance(kind, bytes) else kind](key)) for key, kind in kinds)
    return repr(list(held)).encode()


def held_in_bucket(store: ObjectStore) -> bytes:
    bodies = [(key, store.get(key)) for key, _size in store.list("")]
    return b"\n".join(gzip.decompress(body) if key.endswith(".gz") else body for key, body in bodies)


@pytest.mark.parametrize("shards", [1, 3])
async def test_no_store_names_an_erased_customer(
    connection: Redis, client: redis.Redis, store: ObjectStore, s3: S3Settings, shards: int
) -> None:
    settings = PrivacySettings(**s3.model_dump())
    logs, truth = partitions_of(events_of(USER), SEED), partitions_of(events_of(None), SEED)
    applier = applier_of(store_of(connection, shards))
    watch = ErasureWatch(store, connection, applier.use_erased)
    for partition, records in logs.items():
        await applier.apply(partition, records[:60], ahead=True)
        archive(store, partition.partition, records)
    await watch.step()
    assert watch.applied is None
    assert [each async for each in tables_of(connection, USER, shards)]
    assert USER.encode() in held_in_redis(client)
    assert USER.encode() in held_in_bucket(store)

    said = [each async for each in erase(settings, Namespace(user=USER, later=False))]
    assert said[-1] == f"swept for 1 customers; objects changed: archive {len(logs)}, curated 0, reports 0, models 0"
    await watch.step()
    assert watch.applied == read_erased(store)
    for partition, records in logs.items():
        await applier.apply(partition, records[60:])
        await applier_of(store_of(connection, shards)).apply(partition, records)
    assert_equal(client, counted([record for records in truth.values() for record in records]), shards)
    key = object_key(0, 0, NOW)
    assert store.metadata(key)["last-offset"] == str(len(logs[next(iter(logs))]) - 1)
    assert USER.encode() not in held_in_redis(client)
    assert USER.encode() not in held_in_bucket(store)
    assert [each async for each in tables_of(connection, USER, shards)] == []
    noted = [json.loads(each) async for each in show_audit(settings, Namespace())]
    assert [each["action"] for each in noted] == ["customer.erase", "customer.sweep"]
    assert noted[0]["subject"] == digest_in(store, USER).hex()


async def test_an_aggregator_with_an_older_list_is_outlived(connection: Redis, client: redis.Redis) -> None:
    """What it applies after the removal is removed by its own, after which it folds by the new list."""
    logs, truth = partitions_of(events_of(USER), SEED), partitions_of(events_of(None), SEED)
    bucket = Bucket()
    late, early = applier_of(store_of(connection)), applier_of(store_of(connection))
    late_watch = ErasureWatch(bucket, connection, late.use_erased)
    early_watch = ErasureWatch(bucket, connection, early.use_erased)
    first, second, third = logs
    await early.apply(first, logs[first])
    add_erased(bucket, USER, NOW)
    await early_watch.step()
    await late.apply(second, logs[second])
    assert USER.encode() in held_in_redis(client)
    await late_watch.step()
    assert USER.encode() not in held_in_redis(client)
    await late.apply(third, logs[third])
    assert_equal(client, counted([record for records in truth.values() for record in records]), 1)
    assert early_watch.applied is not None
    assert await remove_erased(connection, early_watch.applied) == 0


async def test_an_export_has_the_records_of_every_topic_and_no_others(kafka: str, topics: TopicFactory) -> None:
    names, impressions = topics(), topics(partitions=1).purchases
    settings = KafkaSettings(
        kafka_bootstrap=kafka,
        purchases_topic=names.purchases,
        dead_letters_topic=names.dead_letters,
        recommendations_topic=impressions,
    )
    theirs = {
        names.purchases: encode(events_of(USER)[0] | {"user_id": USER}),
        names.dead_letters: f"{USER};broken".encode(),
        impressions: encode({"user_id": USER, "product_ids": ["p"]}),
    }
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for topic, value in theirs.items():
            for each in (value.replace(USER.encode(), b"somebody-else"), value, None):
                await producer.send_and_wait(topic, each, key=b"")
    found = [each async for each in records_of(settings, USER, DEFAULT_RULES)]
    assert {each.store: each.value.encode() for each in found} == {
        f"topic {name}": each for name, each in theirs.items()
    }
    assert len(found) == len(theirs)


def archive(store: ObjectStore, partition: int, records: list[FakeRecord]) -> None:
    body = b"".join(archive_line(partition, each.offset, each.timestamp, each.value) for each in records)
    extent = Extent(0, NOW, records[-1].offset, NOW)
    store.put_new(object_key(partition, 0, NOW), gzip.compress(body), extent.metadata())
