"""Invalid records, dead letters and repeated event ids on a real Valkey."""

from typing import Any

import pytest
import redis
from aiokafka import TopicPartition
from redis.asyncio import Redis

from services.aggregator.groups import shard_of
from services.common.dead_letters import FileOrigin, dead_letter_headers
from services.common.dlq_limits import TooManyInvalidRecords
from services.common.events import Reason, Rejected
from services.common.settings import DeadLetterLimits
from services.common.tables import shard_keys
from tests.support.applied_figures import assert_equal, counted
from tests.support.applier import DLQ, TOPIC, Crash, CrashingStore, MemorySink, applier_of, store_of
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


def record_of(offset: int, **changes: Any) -> FakeRecord:
    return FakeRecord(offset, encode(LINE | changes), timestamp=NOW)


async def events_after(connection: Redis, client: redis.Redis, *records: FakeRecord, partition: int = 0) -> int:
    """How many lines have counted after these records of one partition."""
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, partition), records)
    return totals(client, 1, "events")


LINE = random_events(4, 1)[0] | {"event_id": "till-7:1", "order_id": "o-1", "user_id": None}
REPLAY = {"event_id": "kz.csv:7:replay", "replay_of": "kz.csv:7"}


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_line_counts_once_whatever_partition_and_process_brings_it(
    connection: Redis, client: redis.Redis, shards: int
) -> None:
    """After the topic grew, without a key, first anonymous and then with its customer."""
    for partition in range(8):
        record = record_of(0, user_id=f"u{partition}" if partition else None)
        await applier_of(store_of(connection, shards)).apply(TopicPartition(TOPIC, partition), [record])
    assert totals(client, shards, "events") == 1


async def test_lines_count_in_any_order_of_their_numbers(connection: Redis, client: redis.Redis) -> None:
    records = [record_of(offset, event_id=f"o-1:{line}") for offset, line in enumerate((2, 1, 3, 2))]
    assert await events_after(connection, client, *records) == 3


async def test_lines_that_share_an_id_count_each_where_they_differ(connection: Redis, client: redis.Redis) -> None:
    """A return under the id of its line; ids that are a time; ids that number each order's lines from 1."""
    line = {"event_id": "2026-11-29T12:00:05"}
    records = [
        record_of(0, **line, quantity=2),
        record_of(1, **line, quantity=-1),
        record_of(2, **line, product_id="another"),
        record_of(3, **line, order_id="another"),
        record_of(4, **line, quantity=2),
    ]
    assert await events_after(connection, client, *records) == 4


async def test_nobody_can_silence_another_s_source(connection: Redis, client: redis.Redis) -> None:
    poison = [record_of(0, event_id="kz.csv:999999999999999", order_id="poison")]
    for partition in range(4):
        await events_after(connection, client, *poison, partition=partition)
    rows = [record_of(1 + row, event_id=f"kz.csv:{row}", order_id=f"o-{row // 2}") for row in range(40)]
    assert await events_after(connection, client, *rows) == 41


async def test_an_import_counts_once_however_large_and_late_it_comes_again(
    connection: Redis, client: redis.Redis
) -> None:
    """The newest 100,000 ids were remembered once. Here: more than that in between."""
    rows = 101_000
    first = [record_of(row, event_id=f"uuid-{row}", order_id=f"o-{row // 3}") for row in range(rows)]
    again = [record_of(rows + row, event_id=f"uuid-{row}", order_id=f"o-{row // 3}") for row in range(rows)]
    applier = applier_of(store_of(connection), chunk=1000)
    await applier.apply(TopicPartition(TOPIC, 0), [*first, *again])
    assert totals(client, 1, "events") == rows


async def test_without_an_event_id_every_record_is_a_line(connection: Redis, client: redis.Redis) -> None:
    assert await events_after(connection, client, *(record_of(n, event_id=None) for n in range(3))) == 3


def digest(number: int) -> str:
    return f"{number:016x}"


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_line_of_an_order_that_has_changed_is_a_dead_letter(
    connection: Redis, client: redis.Redis, shards: int
) -> None:
    """The first digest that counts is the order's. A line that is known is a repeat whatever the digest says."""
    store, sink, partition = store_of(connection, shards), MemorySink(), TopicPartition(TOPIC, 0)
    first = [record_of(0, event_id="a", order_digest=digest(1)), record_of(1, event_id="b", order_digest=digest(1))]
    await applier_of(store, sink).apply(partition, first)
    second = [
        record_of(2, event_id="a", order_digest=digest(2)),
        record_of(3, event_id="c", order_digest=digest(2)),
        record_of(4, event_id="d", order_digest=digest(1)),
        record_of(5, event_id="e"),
        record_of(6, event_id="c", order_digest=digest(2), order_id="o-2"),
    ]
    await applier_of(store, sink).apply(partition, second)
    assert (sink.offsets, sink.reasons) == ([3], ["order_changed"])
    assert totals(client, shards, "events") == 5


async def test_a_dead_letter_of_a_changed_order_is_sent_before_the_mark_moves(
    connection: Redis, client: redis.Redis
) -> None:
    store, sink, partition = store_of(connection), MemorySink(), TopicPartition(TOPIC, 0)
    records = [record_of(0, order_digest=digest(1)), record_of(1, event_id="c", order_digest=digest(2))]
    store.calls = 0
    with pytest.raises(Crash):
        await applier_of(store, sink).apply(partition, records)
    assert sink.offsets == [1]
    await applier_of(store_of(connection), sink).apply(partition, records)
    assert (sink.offsets, totals(client, 1, "events")) == ([1, 1], 1)


async def test_an_order_that_another_partition_changes_meanwhile_is_decided_again(
    connection: Redis, client: redis.Redis
) -> None:
    class Overtaken(CrashingStore):
        """Another aggregator applies the same line between the look at the order and the script."""

        async def apply(self, *arguments: Any) -> int:
            if self.calls == 1:
                self.calls = 0
                await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 1), [record_of(0)])
                self.calls = float("inf")
            return await super().apply(*arguments)

    store = Overtaken(connection, shard_keys(1))
    store.calls = 1
    records = [record_of(0), record_of(1, event_id="another")]
    assert await applier_of(store).apply(TopicPartition(TOPIC, 0), records) is None
    assert totals(client, 1, "events") == 2
    assert await store.marks(f"{TOPIC}/0") == [2]


@pytest.mark.parametrize("shards", [1, 3])
async def test_one_order_of_thousands_of_lines_stays_exact(connection: Redis, client: redis.Redis, shards: int) -> None:
    """A till that uses one order id for all its lines: they move to a set of their own, beyond a limit."""
    events = [event | {"order_id": "till", "event_id": f"n-{n}"} for n, event in enumerate(random_events(7, 3000))]
    for event in events:
        event["product_id"] += f"-{event['price'][-1]}"
    records = [FakeRecord(n, encode(event), timestamp=NOW) for n, event in enumerate([*events, *events[::7]])]
    await applier_of(store_of(connection, shards), chunk=130).apply(TopicPartition(TOPIC, 0), records)
    assert_equal(client, counted(records), shards)
    keys = shard_keys(shards)[shard_of("till", shards)]
    assert client.scard(keys("order:till")) > 3000
    assert client.hstrlen(keys("orders"), "till") == 9


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_replayed_dead_letter_counts_once_for_ever(connection: Redis, client: redis.Redis, shards: int) -> None:
    for partition in range(3):
        await applier_of(store_of(connection, shards)).apply(TopicPartition(TOPIC, partition), [record_of(0, **REPLAY)])
    assert totals(client, shards, "events") == 1
    owners = [client.hget(keys("replays"), REPLAY["event_id"]) for keys in shard_keys(shards)]
    assert b"purchases/0/0" in owners


async def test_two_repairs_of_one_dead_letter_count_once(connection: Redis, client: redis.Redis) -> None:
    assert await events_after(connection, client, record_of(0, **REPLAY), record_of(1, **REPLAY, quantity=5)) == 1


async def test_a_replay_is_a_repeat_of_what_its_sender_has_corrected(connection: Redis, client: redis.Redis) -> None:
    sent = {"event_id": "uuid-1"}
    assert await events_after(connection, client, record_of(0, **sent), record_of(1, **sent, replay_of="p/0/3")) == 1


async def test_what_its_sender_corrects_is_a_repeat_of_the_replay(connection: Redis, client: redis.Redis) -> None:
    sent = {"event_id": "uuid-1"}
    assert await events_after(connection, client, record_of(0, **sent, replay_of="p/0/3"), record_of(1, **sent)) == 1
