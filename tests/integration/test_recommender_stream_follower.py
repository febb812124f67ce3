"""The follower on a real Kafka: what is bought counts, once, through restarts of the broker and of the log."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from local.engines import KafkaEngine
from local.ports import free_port
from recsys.decayed_counts import HOUR_MS
from recsys.stream_apply import StreamApplier
from services.common.metrics import RECOMMENDER_STREAM_LAG
from services.common.settings import KafkaSettings
from services.common.topics import PURCHASES
from services.provision.topics import create
from services.recommender.partition_position import StreamStart
from services.recommender.stream_follower import FollowerTimings, PurchaseConsumer
from tests.support.engines import TopicFactory, running
from tests.support.metrics import growth
from tests.support.polling import eventually
from tests.support.producer import TopicRecord, read_topic
from tests.support.reference_features import START_MS, Model, known, purchase

NOW_MS = START_MS + 10 * HOUR_MS
FROM_THE_BEGINNING = StreamStart({0: 0}, 0)
TIMINGS = FollowerTimings()
CUSTOMERS = tuple(f"c{number}" for number in range(20))


def settings_for(kafka: str, topic: str) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap=kafka, purchases_topic=topic)


async def whole(settings: KafkaSettings) -> list[TopicRecord]:
    """All records of the topic."""
    return await asyncio.to_thread(read_topic, settings.kafka_bootstrap, settings.purchases_topic)


async def produce(settings: KafkaSettings, values: Iterable[bytes], partition: int | None = None) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, linger_ms=2) as producer:
        for number, value in enumerate(values):
            await producer.send(settings.purchases_topic, value, key=str(number).encode(), partition=partition)
        await producer.flush()


@asynccontextmanager
async def following(
    settings: KafkaSettings,
    start: StreamStart,
    applier: StreamApplier,
    version: str = "m1",
    *,
    timings: FollowerTimings = TIMINGS,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[PurchaseConsumer]:
    consumer = PurchaseConsumer(settings, start, applier, version, timings=timings, clock=clock)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.close()


def held(applier: StreamApplier, customer: str = "ann") -> Mapping[str, tuple[float, int]]:
    return known(applier, [customer], NOW_MS).held.get(customer, {})


def empty() -> StreamApplier:
    return Model([]).applier()


def applied(applier: StreamApplier) -> int:
    return applier.outcomes.total()


def is_up_to_date(consumer: PurchaseConsumer) -> bool:
    """Whether it knows of the stream what was so two seconds ago."""
    age_ms = consumer.age_ms(int(time.time() * 1000))
    return age_ms is not None and age_ms < 2000


async def test_a_purchase_is_known_at_once_and_a_return_undoes_it(kafka: str, topics: TopicFactory) -> None:
    settings, applier = settings_for(kafka, topics().purchases), empty()
    async with following(settings, FROM_THE_BEGINNING, applier) as consumer:
        assert consumer.age_ms(NOW_MS) is None
        await eventually(lambda: consumer.caught_up, "caught up")
        await produce(settings, [purchase("ann", "tea")])
        await eventually(lambda: held(applier), "ann holds tea", 30)
        await eventually(lambda: is_up_to_date(consumer), "up to date")
        assert consumer.lag == 0
        await produce(settings, [purchase("ann", "tea", -1)])
        await eventually(lambda: not held(applier), "ann has brought it back")


async def test_a_new_model_whose_cut_off_lies_in_the_middle_knows_the_same(kafka: str, topics: TopicFactory) -> None:
    """What a swap does: the old model has followed all along, the new one begins where its training data ended."""
    settings = settings_for(kafka, topics().purchases)
    await produce(settings, (line(number) for number in range(3000)))
    records = await whole(settings)
    middle = [record for record in records if record.offset < 300 + 100 * record.partition]
    old, new = empty(), Model(middle).applier()
    async with (
        following(settings, FROM_THE_BEGINNING, old, "old"),
        following(settings, Model(middle).start(), new, "new"),
    ):
        await produce(settings, (line(number) for number in range(2500, 4000)))  # 500 of them once more
        await eventually(
            lambda: applied(old) == 4500 and applied(new) == 4500 - len(middle), "both have read everything"
        )
    at_once = Model(await whole(settings)).applier()
    assert known(old, CUSTOMERS, NOW_MS) == known(new, CUSTOMERS, NOW_MS) == known(at_once, CUSTOMERS, NOW_MS)
    assert len(known(new, CUSTOMERS, NOW_MS).held) == len(CUSTOMERS)


def line(number: int) -> bytes:
    """Purchases of some customers."""
    customer = CUSTOMERS[number % 20] if number % 3 else None
    return purchase(customer, f"p{number % 19}", hours=number / 1000, event_id=f"id-{number}")


async def test_a_repeat_of_what_the_model_knows_is_one(kafka: str, topics: TopicFactory) -> None:
    settings = settings_for(kafka, topics(partitions=1).purchases)
    await produce(settings, [purchase("ann", "tea", event_id="till-7/a")])
    model = Model(await whole(settings))
    applier = model.applier()
    await produce(settings, [purchase("ann", "tea", event_id="till-7/a"), purchase("ann", "milk")])
    async with following(settings, model.start(), applier):
        await eventually(lambda: "milk" in held(applier), "milk came after the repeat")
    assert held(applier)["tea"] == (1, START_MS)


async def test_a_model_without_offsets_is_followed_from_its_creation_on(
    kafka: str, topics: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    settings, applier = settings_for(kafka, topics(partitions=1).purchases), empty()
    await produce(settings, [purchase("ann", "before")])
    await asyncio.sleep(0.05)
    created_ms = int(time.time() * 1000)
    await asyncio.sleep(0.05)
    await produce(settings, [purchase("ann", "after")])
    async with following(settings, StreamStart({}, created_ms), applier):
        await eventually(lambda: held(applier), "what came after is known")
    assert set(held(applier)) == {"after"}
    assert "does not say at which offsets its training data ended" in caplog.text


async def test_what_left_the_log_before_it_was_read_is_said(
    kafka: str, topics: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    settings, applier = settings_for(kafka, topics(partitions=1).purchases), empty()
    await produce(settings, [purchase("ann", f"p{number}") for number in range(5)])
    await delete_before(settings, 3)
    lost = growth("recommender_stream_lost_records_total")
    async with following(settings, StreamStart({0: 1}, 0), applier):
        await eventually(lambda: len(held(applier)) == 2, "the rest is known")
    assert lost() == 2
    assert "2 records expired from Kafka before model m1 could read them" in caplog.text


async def delete_before(settings: KafkaSettings, offset: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        partition = TopicPartition(settings.purchases_topic, 0)
        await admin.delete_records({partition: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


@pytest.mark.parametrize("records", [1, 4])
async def test_a_topic_recreated_is_read_from_its_beginning_and_said(
    kafka: str, topics: TopicFactory, caplog: pytest.LogCaptureFixture, records: int
) -> None:
    """Shorter than the old one, and as long: only the times of its records tell that it is another."""
    settings, applier = settings_for(kafka, topics(partitions=1).purchases), empty()
    await produce(settings, [purchase("ann", f"old{number}") for number in range(3)])
    resets = growth("recommender_stream_resets_total")
    async with following(settings, FROM_THE_BEGINNING, applier):
        await eventually(lambda: len(held(applier)) == 3, "the old topic is known")
        await recreate(settings)
        await produce(settings, [purchase("ann", f"new{number}") for number in range(records)])
        await eventually(lambda: len(held(applier)) == 3 + records, "the new topic is known")
    assert resets() == 1
    assert "partition 0 is not the log that model m1 followed" in caplog.text


async def test_a_topic_that_is_gone_is_noticed_before_another_one_takes_its_place(
    kafka: str, topics: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    settings, applier = settings_for(kafka, topics(partitions=1).purchases), empty()
    await produce(settings, [purchase("ann", f"old{number}") for number in range(3)])
    async with following(settings, FROM_THE_BEGINNING, applier):
        await eventually(lambda: len(held(applier)) == 3, "the old topic is known")
        await delete(settings)
        await eventually(lambda: "the topic does not exist any more" in caplog.text, "noticed")
        await create(settings, [replace(PURCHASES, name=settings.purchases_topic, partitions=1)])
        await produce(settings, [purchase("ann", f"new{number}") for number in range(5)])
        await eventually(lambda: len(held(applier)) == 8, "the new topic is known")


async def test_a_topic_recreated_and_filled_between_two_fetches_is_noticed_a_while_later(
    kafka: str, topics: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    timings, clock = FollowerTimings(check_every_s=3600.0), SkippingClock()
    settings, applier = settings_for(kafka, topics(partitions=2).purchases), empty()
    both = StreamStart({0: 0, 1: 0}, 0)
    for partition in range(2):
        await produce(settings, [purchase("ann", f"old{partition}-{number}") for number in range(3)], partition)

    async def another_topic() -> None:
        await recreate(settings, partitions=2)
        for partition in range(2):
            names = [f"new{partition}-{number}" for number in range(6)]
            await produce(settings, [purchase("ann", name, event_id=name) for name in names], partition)

    async with following(settings, both, applier, timings=timings, clock=clock):
        await eventually(lambda: len(held(applier)) == 6, "the old topic is known")
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, another_topic()).result()  # the follower waits with this event loop
        await eventually(lambda: len(held(applier)) == 12, "it goes on as if nothing had happened")
        assert "new0-0" not in held(applier)
        clock.skip_s = timings.check_every_s
        await eventually(lambda: len(held(applier)) == 18, "the new topic is known")
    assert held(applier)["new0-5"][0] == 1, "read twice, counted once"
    assert caplog.text.count("its record 2 has another time than before") == 2
    assert caplog.text.count("the topic was recreated") == 1, "reopened once for both"


class SkippingClock:
    """Monotonic seconds; once `skip_s` is set, so much time passes between any two readings."""

    def __init__(self) -> None:
        self.skip_s = 0.0
        self._skipped_s = 0.0

    def __call__(self) -> float:
        self._skipped_s += self.skip_s
        return time.monotonic() + self._skipped_s


async def recreate(settings: KafkaSettings, partitions: int = 1) -> None:
    await delete(settings)
    await create(settings, [replace(PURCHASES, name=settings.purchases_topic, partitions=partitions)])


async def delete(settings: KafkaSettings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([settings.purchases_topic])
        deadline = time.monotonic() + 120
        while settings.purchases_topic in await admin.list_topics():
            assert time.monotonic() < deadline, "the topic is not deleted"
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def test_a_broker_that_stops_and_comes_back_loses_nothing_and_the_age_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    timings = FollowerTimings(lost_contact_ms=1500)
    port = free_port()
    engine = KafkaEngine(tmp_path / "data", tmp_path / "log", port)
    settings, applier = settings_for(engine.address, "purchases"), empty()
    async with following(settings, FROM_THE_BEGINNING, applier, timings=timings) as consumer:
        await asyncio.sleep(1)
        assert consumer.age_ms(NOW_MS) is None, "Kafka is away at the start"
        async with started(engine):
            await create(settings, [PURCHASES])
            await produce(settings, (line(number) for number in range(1000)))
            await eventually(lambda: applied(applier) == 1000, "known after a late start")
        stopped_ms = int(time.time() * 1000)
        await eventually(lambda: "no answer from Kafka for partition" in caplog.text, "the loss of contact is noticed")
        age_ms = consumer.age_ms(stopped_ms + 60_000)
        assert age_ms is not None
        assert age_ms > 55_000
        async with started(engine):
            await produce(settings, (line(number) for number in range(900, 2000)))
            await eventually(lambda: applied(applier) == 2100, "known after the stop")
            await eventually(lambda: is_up_to_date(consumer), "up to date")
            everything = Model(await whole(settings)).applier()
    assert known(applier, CUSTOMERS, NOW_MS) == known(everything, CUSTOMERS, NOW_MS)


@asynccontextmanager
async def started(engine: KafkaEngine) -> AsyncIterator[None]:
    """The engine runs; starting and stopping wait in a thread."""
    broker = running(engine)
    await asyncio.to_thread(broker.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.__exit__, None, None, None)


async def test_new_partitions_are_read(kafka: str, topics: TopicFactory) -> None:
    settings, applier = settings_for(kafka, topics(partitions=1).purchases), empty()
    async with following(settings, FROM_THE_BEGINNING, applier) as consumer:
        await eventually(lambda: consumer.caught_up, "caught up")
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        try:
            await admin.create_partitions({settings.purchases_topic: NewPartitions(2)})
            deadline = time.monotonic() + 120
            while len((await admin.describe_topics([settings.purchases_topic]))[0]["partitions"]) < 2:
                assert time.monotonic() < deadline, "the new partition is not known"
                await asyncio.sleep(0.05)
        finally:
            await admin.close()
        await produce(settings, [purchase("ann", "tea")], partition=1)
        await eventually(lambda: held(applier), "the new partition is read")


async def test_the_event_loop_turns_while_a_long_log_is_read(kafka: str, topics: TopicFactory) -> None:
    settings, applier = settings_for(kafka, topics().purchases), empty()
    await produce(settings, (line(number) for number in range(30_000)))
    turns: list[float] = []
    async with following(settings, FROM_THE_BEGINNING, applier):
        while applied(applier) < 30_000:
            turns.append(time.thread_time())  # of this thread alone: others may be on the processor meanwhile
            await asyncio.sleep(0)
    lasted = [later - sooner for sooner, later in itertools.pairwise(turns)]
    assert sum(each for each in lasted if each > 0.02) < 0.1 * sum(lasted)


class SlowApplier(StreamApplier):
    """Takes a millisecond for each record."""

    def apply(self, value: bytes | None, broker_ms: int) -> None:
        time.sleep(0.001)
        super().apply(value, broker_ms)


async def test_a_partition_that_waits_for_the_others_has_not_lost_contact(
    kafka: str, topics: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """On a busy machine applying what was fetched takes longer than a broker may be silent."""
    timings = FollowerTimings(unheard_ms=200, lost_contact_ms=1000, report_every_s=0.05)
    settings, applier = settings_for(kafka, topics(partitions=3).purchases), Model([]).applier(kind=SlowApplier)
    for partition in range(3):
        await produce(settings, (line(number) for number in range(2000)), partition)
    all_three = StreamStart({0: 0, 1: 0, 2: 0}, 0)
    async with following(settings, all_three, applier, timings=timings):
        await eventually(lambda: applied(applier) == 6000, "all is applied")
    assert "reopening the consumer" not in caplog.text


async def test_what_was_said_of_a_version_is_gone_with_its_consumer(kafka: str, topics: TopicFactory) -> None:
    settings = settings_for(kafka, topics().purchases)
    async with following(settings, FROM_THE_BEGINNING, empty(), "gone") as consumer:
        await eventually(lambda: consumer.caught_up, "caught up")
        await eventually(lambda: "gone" in reported_versions(), "its lag is reported")
    assert "gone" not in reported_versions()


def reported_versions() -> Sequence[str]:
    return [sample.labels["version"] for metric in RECOMMENDER_STREAM_LAG.collect() for sample in metric.samples]
