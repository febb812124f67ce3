"""Invalid records, dead letters and repeated event ids on a real Valkey."""

from typing import Any

import pytest
import redis
from aiokafka import TopicPartition
from redis.asyncio import Redis

from services.aggregator.store import TableStore
from services.common.dead_letters import FileOrigin, dead_letter_headers
from services.common.dlq_limits import TooManyInvalidRecords
from services.common.events import Reason, Rejected
from services.common.settings import DeadLetterLimits
from services.common.tables import shard_keys
from tests.support.applier import DLQ, TOPIC, Crash, MemorySink, applier_of, store_of
from tests.support.live_tables import totals
from tests.support.records import NOW, FakeRecord, encode, random_events


async def test_refused_records_go_to_the_dead_letters_and_the_rest_counts(
    connection: Redis, client: redis.Redis
) -> None:
    good = encode(random_events(3, 1)[0])
    records = [FakeRecord(0, b"{"), FakeRecord(1, good, timestamp=NOW), FakeRecord(2, None), FakeRecord(3, b"[]")]
    sink = MemorySink()
    await applier_of(store_of(connection), sink).apply(TopicPartition(TOPIC, 0), records)
    assert sink.offsets == [0, 2, 3]
    assert totals(client, 1, "events") == 1


async def test_too_many_refused_stop_before_their_mark_moves_where_that_is_asked_for(
    connection: Redis, client: redis.Redis
) -> None:
    good = encode(random_events(3, 1)[0] | {"event_id": None})
    records = [FakeRecord(n, good if n < 60 else b"{", timestamp=NOW) for n in range(90)]
    sink, partition = MemorySink(), TopicPartition(TOPIC, 0)
    limits = DeadLetterLimits(dead_letters_max_consecutive=20, dead_letters_halt=True)
    with pytest.raises(TooManyInvalidRecords, match=r"purchases/0: 20 consecutive records are invalid \(not_json\)"):
        await applier_of(store_of(connection), sink, limits=limits).apply(partition, records)
    assert await store_of(connection).marks(f"{TOPIC}/0") == [50]
    assert sink.offsets == []
    await applier_of(store_of(connection), sink).apply(partition, records[50:])
    assert sink.offsets == list(range(60, 90))
    assert totals(client, 1, "events") == 60


async def test_dead_letters_are_counted_once_an_origin(connection: Redis, client: redis.Redis) -> None:
    def dead_letter(offset: int, row: int) -> FakeRecord:
        headers = dead_letter_headers(FileOrigin("f.csv", row), Rejected(Reason.BAD_TIME, ""), "producer")
        return FakeRecord(offset, b"", headers=headers)

    partition = TopicPartition(DLQ, 2)
    await applier_of(store_of(connection, 2)).apply(
        partition, [dead_letter(0, 5), dead_letter(1, 5), dead_letter(2, 6)]
    )
    await applier_of(store_of(connection, 2)).apply(
        partition, [dead_letter(0, 5), dead_letter(3, 6), dead_letter(4, 7)]
    )
    counts = [client.hgetall(keys("dead_letters")) for keys in shard_keys(2)]
    assert sum(int(count) for shard in counts for count in shard.values()) == 3


async def test_an_opaque_id_counts_once_across_partitions_and_restarts(connection: Redis, client: redis.Redis) -> None:
    event = random_events(4, 1)[0] | {"event_id": "3f1c"}
    for partition in range(3):
        applier = applier_of(store_of(connection, 2))
        await applier.apply(TopicPartition(TOPIC, partition), [FakeRecord(0, encode(event), timestamp=NOW)])
    assert totals(client, 2, "events") == 1


async def test_claims_are_bounded(connection: Redis, client: redis.Redis) -> None:
    store = TableStore(connection, shard_keys(1), event_ids_kept=10)
    await store.claim({f"id-{n}": f"t/0/{n}" for n in range(25)})
    (keys,) = shard_keys(1)
    assert client.hlen(keys("claims")) == client.llen(keys("claims:log")) == 10
    assert await store.claim({"id-24": "t/9/9", "id-0": "t/9/9"}) == {"id-24": "t/0/24", "id-0": "t/9/9"}


REPLAY = {"event_id": "kz.csv:7:replay", "replay_of": "kz.csv:7"}


def record_of(offset: int, **changes: Any) -> FakeRecord:
    return FakeRecord(offset, encode(random_events(4, 1)[0] | changes), timestamp=NOW)


async def forget_newest_claims(store: TableStore) -> None:
    """Claim so many other ids that no shard's bounded set knows one of those before."""
    await store.claim({f"other-{n}": f"t/0/{n}" for n in range(5000)})


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_replayed_dead_letter_counts_once_for_ever(connection: Redis, client: redis.Redis, shards: int) -> None:
    store = store_of(connection, shards)
    for partition in range(3):
        await applier_of(store).apply(TopicPartition(TOPIC, partition), [record_of(0, **REPLAY)])
        await forget_newest_claims(store)
    assert totals(client, shards, "events") == 1


async def test_a_replay_that_was_claimed_but_not_applied_counts_after_the_crash(
    connection: Redis, client: redis.Redis
) -> None:
    store = store_of(connection)
    store.calls = 0
    with pytest.raises(Crash):
        await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(0, **REPLAY)])
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), [record_of(0, **REPLAY)])
    assert totals(client, 1, "events") == 1


async def test_a_replay_of_what_its_sender_has_put_right_already_counts_nothing(
    connection: Redis, client: redis.Redis
) -> None:
    """Nor does a second replay, after the sender's own record has left the newest claims."""
    store, sent = store_of(connection), {"event_id": "uuid-1"}
    replay = sent | {"replay_of": "purchases/0/3"}
    await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(0, **sent), record_of(1, **replay)])
    await forget_newest_claims(store)
    await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(2, **replay)])
    assert totals(client, 1, "events") == 1


async def test_what_was_replayed_counts_nothing_when_its_sender_sends_it_later(
    connection: Redis, client: redis.Redis
) -> None:
    store, sent = store_of(connection), {"event_id": "uuid-1"}
    replay = sent | {"replay_of": "purchases/0/3"}
    await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(0, **replay)])
    await forget_newest_claims(store)
    await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(1, **sent)])
    assert totals(client, 1, "events") == 1


async def test_a_replay_under_the_id_of_its_row_is_no_repeat_of_later_rows(
    connection: Redis, client: redis.Redis
) -> None:
    later, replay = {"event_id": "kz.csv:9"}, {"event_id": "kz.csv:7", "replay_of": "kz.csv:7"}
    records = [record_of(0, **later), record_of(1, **replay), record_of(2, **replay), record_of(3, event_id="kz.csv:8")]
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), records)
    assert totals(client, 1, "events") == 2
