"""Models come up with the stream on a real Kafka: nothing since a cut-off is lost or counted twice by a swap."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from recsys.answers import Strategy
from recsys.catalogue import Filters
from recsys.decayed_counts import DAY_MS
from recsys.score_weights import ScoreWeights
from services.common.times import format_time
from services.recommender.impressions import Impression, ImpressionLog
from services.recommender.model_loader import ModelLoader
from services.recommender.model_startup import ModelActivator
from services.recommender.service import clock_ms
from services.recommender.settings import RecommenderSettings
from tests.support.engines import TopicFactory
from tests.support.metrics import growth
from tests.support.models import CUT_OFF_MS, VERSION, ModelSpec, Objects, checkerboard, point_at, publish, write_model
from tests.support.producer import TopicRecord, read_topic

NEWER = "20200502T000000Z-000002"
AWAY = "127.0.0.1:1"
CUSTOMERS = [f"c{number}" for number in range(6)]


def settings_of(kafka: str, topic: str, **given: Any) -> RecommenderSettings:
    values: dict[str, Any] = {"kafka_bootstrap": kafka, "purchases_topic": topic, "recommender_patience_s": 1.0}
    return RecommenderSettings(**values | given)


def line(customer: str, product: str, row: int) -> bytes:
    event = {
        "event_id": f"shop.csv:{row}",
        "event_time": format_time(CUT_OFF_MS + row * 1000),
        "order_id": f"o{row}",
        "product_id": product,
        "user_id": customer,
        "price": "1.00",
    }
    return json.dumps(event).encode()


async def send(settings: RecommenderSettings, lines: Iterable[tuple[str, bytes]]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, linger_ms=1) as producer:
        for customer, value in lines:
            await producer.send(settings.purchases_topic, value, key=customer.encode())
        await producer.flush()


def trained_on(version: str, records: Iterable[TopicRecord], partitions: int) -> ModelSpec:
    """A model whose tables hold exactly these records, and whose manifest says so."""
    offsets = dict.fromkeys(map(str, range(partitions)), 0)
    rows: dict[str, dict[str, int]] = {}
    held: dict[str, dict[str, int]] = {}
    for record in records:
        event = json.loads(record.value or b"")
        offsets[str(record.partition)] = record.offset + 1
        row = int(event["event_id"].rpartition(":")[2])
        rows.setdefault(str(record.partition), {})["shop.csv"] = row
        bought = held.setdefault(event["user_id"], {})
        bought[event["product_id"]] = bought.get(event["product_id"], 0) + 1
    training = {"to": "2020-05-01T00:00:00Z", "offsets": offsets, "rows": rows}
    return replace(checkerboard(version), purchases=held, manifest={"training": training})


@asynccontextmanager
async def loading(settings: RecommenderSettings, store: Objects) -> AsyncIterator[ModelLoader]:
    activator = ModelActivator(settings, asyncio.get_running_loop())
    loader = ModelLoader(
        store,
        60,
        lambda serving: None,
        attach_state=activator.attach_state,
        detach_state=activator.detach_state,
        spare=10,
    )
    yield loader
    await activator.close()


def pieces(loader: ModelLoader) -> Mapping[str, Mapping[str, float]]:
    """What each customer holds by the model that answers."""
    assert loader.serving.main is not None
    recommender = loader.serving.main.recommender
    ids = recommender.model.catalogue.product_ids
    histories = {customer: recommender.live.history(customer) for customer in CUSTOMERS}
    return {
        customer: dict(zip((ids[row] for row in history.rows.tolist()), history.quantity.tolist(), strict=True))
        for customer, history in histories.items()
    }


async def test_a_swap_loses_nothing_since_the_cut_off_and_counts_nothing_twice(
    kafka: str, topics: TopicFactory
) -> None:
    settings, store = settings_of(kafka, topics(partitions=2).purchases), Objects()
    lines = [
        (customer, line(customer, f"p{(row * 3 + place) % 8:02d}", row * len(CUSTOMERS) + place))
        for row in range(40)
        for place, customer in enumerate(CUSTOMERS)
    ]
    lines.append(("c0", line("c0", "brand-new", 100_000)))
    expected: dict[str, dict[str, float]] = {customer: {} for customer in CUSTOMERS}
    for customer, value in lines:
        product = json.loads(value)["product_id"]
        expected[customer][product] = expected[customer].get(product, 0) + 1
    await send(settings, lines[:150])
    archived = await asyncio.to_thread(read_topic, settings.kafka_bootstrap, settings.purchases_topic)
    await send(settings, lines[150:])
    await send(settings, lines[100:120])  # sent once more: repeats
    publish(store, trained_on(VERSION, [], 2))
    write_model(store, trained_on(NEWER, archived, 2))
    async with loading(settings, store) as loader:
        await asyncio.to_thread(loader.poll)
        first = loader.serving.main
        async with asyncio.timeout(120):
            while pieces(loader) != expected:  # noqa: ASYNC110 (the first model answers while it catches up)
                await asyncio.sleep(0.05)
        point_at(store, NEWER)
        await asyncio.to_thread(loader.poll)
        assert loader.serving.main is not None
        assert loader.serving.main is not first
        assert loader.serving.main.model.version == NEWER
        assert pieces(loader) == expected, "known at the moment of the swap"
        assert loader.serving.main.recommender.live.history("c1").rows.tolist(), "of the archive alone"


async def test_with_kafka_away_a_model_answers_all_the_same_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    store = Objects()
    publish(store, checkerboard())
    async with loading(settings_of(AWAY, "purchases", recommender_patience_s=0.3), store) as loader:
        await asyncio.to_thread(loader.poll)
        publish(store, checkerboard(NEWER))
        async with asyncio.timeout(60):
            await asyncio.to_thread(loader.poll)
        live = loader.serving.main
        assert live is not None
        assert (live.model.version, live.age_ms(0), live.recommender.live.history("u00").rows.size) == (NEWER, None, 3)
        assert "is serving with an unknown number of records of lag" in caplog.text


async def test_the_age_of_what_is_known_of_the_stream_decides_by_which_weights_it_is_answered(
    kafka: str, topics: TopicFactory
) -> None:
    store = Objects()
    publish(
        store, replace(checkerboard(), composition=ScoreWeights(live=1.0, offline_weights=ScoreWeights(factors=1.0)))
    )
    async with loading(settings_of(kafka, topics(partitions=2).purchases), store) as loader:
        await asyncio.to_thread(loader.poll)
        live = loader.serving.main
        assert live is not None
        async with asyncio.timeout(120):
            while live.age_ms(clock_ms()) not in range(5000):  # noqa: ASYNC110 (the model is of 2020)
                await asyncio.sleep(0.05)
        now_ms = clock_ms()
        for later_ms, strategy in ((0, Strategy.POPULAR), (DAY_MS + 5000, Strategy.PERSONAL)):
            assert live.recommender.for_user("u00", 1, Filters(), now_ms + later_ms).strategy == strategy


def shown(user_id: str) -> Impression:
    return Impression("2020-05-01T00:00:00Z", user_id, "main", VERSION, "personal", ["p00", "p02"])


async def test_answers_of_the_sample_are_recorded(kafka: str, topics: TopicFactory) -> None:
    topic = topics(partitions=2).purchases
    impressions = ImpressionLog(settings_of(kafka, topic), topic, share=0.5)
    await impressions.start()
    users = [f"u{number}" for number in range(200)]
    for user in users:
        impressions.add(user, lambda user=user: shown(user))  # type: ignore[misc]
    async with asyncio.timeout(120):
        while len(records := await asyncio.to_thread(read_topic, kafka, topic)) < 80:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await impressions.close()
    records = await asyncio.to_thread(read_topic, kafka, topic)
    assert 80 <= len(records) <= 120
    for record in records:
        assert json.loads(record.value or b"") == {
            "time": "2020-05-01T00:00:00Z",
            "user_id": (record.key or b"").decode(),
            "variant": "main",
            "model_version": VERSION,
            "strategy": "personal",
            "product_ids": ["p00", "p02"],
        }


async def test_with_kafka_away_records_are_dropped_and_counted_and_nobody_waits() -> None:
    impressions = ImpressionLog(settings_of(AWAY, "away"), "away", share=1.0)
    dropped = growth("recommender_records_dropped_total")
    await impressions.start()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(10_500):
        impressions.add("ann", lambda: shown("ann"))
        assert number or dropped() == 0
    assert loop.time() - began < 20
    assert dropped() == 500
    async with asyncio.timeout(30):
        await impressions.close()
