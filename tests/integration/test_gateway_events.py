"""Events sent in over HTTP reach a real Kafka, and the lag is told from its offsets."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.common.times import format_time
from services.gateway.api.schemas.events import EventsResponse
from tests.support.engines import TopicFactory, TopicNames
from tests.support.gateway_app import client_of, settings_of
from tests.support.gateway_tables import PHONE, TableWriter
from tests.support.polling import eventually
from tests.support.webhooks import encode, shopify_line, shopify_order, signature

SECRET = "a-secret-of-this-shop"
EVENT = {
    "event_time": "2020-04-24 11:50:39 UTC",
    "order_id": "2294359932054536986",
    "product_id": "1515966223509089906",
    "price": "162.01",
    "user_id": "1515915625441993984",
}


@pytest.fixture
def names(topics: TopicFactory) -> TopicNames:
    return topics()


@pytest.fixture
async def gateway(redis_url: str, kafka: str, names: TopicNames) -> AsyncIterator[httpx.AsyncClient]:
    given = {
        "redis_url": redis_url,
        "kafka_bootstrap": kafka,
        "purchases_topic": names.purchases,
        "shopify_secrets": SECRET,
    }
    async with client_of(settings_of(**given, probe_seconds=0.1)) as client:
        await connected(client)
        yield client


async def connected(gateway: httpx.AsyncClient) -> None:
    """Wait until the gateway's connections to Kafka stand."""

    async def reached() -> bool:
        parts = (await gateway.get("/v1/system")).json()["parts"]
        return any(part["name"] == "kafka" and part["status"] == "ok" for part in parts)

    await eventually(reached, "the gateway reaches Kafka")


async def post(gateway: httpx.AsyncClient, body: Any) -> httpx.Response:
    """Post, once the producer is connected too: it connects apart from the offset poller."""
    return await post_bytes(gateway, json.dumps(body).encode())


async def post_bytes(gateway: httpx.AsyncClient, body: bytes) -> httpx.Response:
    """Post JSON as it is, once the producer is connected."""
    answers: list[httpx.Response] = []

    async def taken() -> bool:
        answers.append(await gateway.post("/v1/events", content=body, headers={"Content-Type": "application/json"}))
        return answers[-1].status_code != 503

    await eventually(taken, "the producer is connected")
    return answers[-1]


async def records(kafka: str, topic: str) -> list[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(4)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        while len(found) < sum(ends.values()):
            batches = await consumer.getmany(timeout_ms=500)
            found += [record for batch in batches.values() for record in batch]
        return found
    finally:
        await consumer.stop()


async def test_one_event(gateway: httpx.AsyncClient, kafka: str, names: TopicNames) -> None:
    answer = await post(gateway, EVENT)
    assert answer.status_code == 202, answer.text
    accepted = EventsResponse.model_validate(answer.json())
    assert (accepted.accepted, accepted.rejected) == (1, 0)
    (record,) = await records(kafka, names.purchases)
    assert (accepted.verdicts[0].partition, accepted.verdicts[0].offset) == (record.partition, record.offset)
    assert record.key == b"1515915625441993984"
    assert record.value == json.dumps(EVENT, separators=(",", ":")).encode()


async def test_the_key_of_an_anonymous_purchase_is_its_order(
    gateway: httpx.AsyncClient, kafka: str, names: TopicNames
) -> None:
    await post(gateway, [EVENT | {"user_id": None}, EVENT | {"user_id": ""}])
    assert {record.key for record in await records(kafka, names.purchases)} == {b"2294359932054536986"}


async def test_numbers_keep_their_text(gateway: httpx.AsyncClient, kafka: str, names: TopicNames) -> None:
    body = b'{"price": 162.010, "unknown": 1.0000000000000000001, ' + json.dumps(EVENT)[1:].encode().replace(
        b'"price": "162.01", ', b""
    )
    answer = await post_bytes(gateway, body)
    assert answer.status_code == 202, answer.text
    (record,) = await records(kafka, names.purchases)
    assert b'"price":162.010,"unknown":1.0000000000000000001,' in record.value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"price": "NaN"}, "bad_price"),
        ({"price": "1e9"}, "bad_price"),
        ({"price": "--3"}, "bad_price"),
        ({"price": "1.234"}, "bad_price"),
        ({"event_time": "1970-01-01 00:33:40 UTC"}, "bad_time"),
        ({"event_time": "2099-01-01T00:00:00Z"}, "bad_time"),
        ({"user_id": 1515915625441993984}, "bad_id"),
        ({"order_id": ""}, "missing_field"),
        ({"quantity": "1.5"}, "bad_quantity"),
        ({"brand": "x" * 70_000}, "too_large"),
    ],
)
async def test_bad_events_are_told_apart_and_the_good_one_goes_through(
    gateway: httpx.AsyncClient, kafka: str, names: TopicNames, change: dict[str, Any], reason: str
) -> None:
    answer = await post(gateway, [EVENT | change, EVENT])
    assert answer.status_code == 202, answer.text
    bad, good = EventsResponse.model_validate(answer.json()).verdicts
    assert (bad.index, bad.status, bad.reason, bad.partition) == (0, "rejected", reason, None)
    assert (good.index, good.status) == (1, "accepted")
    assert len(await records(kafka, names.purchases)) == 1


async def test_no_valid_event_is_a_problem_with_verdicts(
    gateway: httpx.AsyncClient, kafka: str, names: TopicNames
) -> None:
    answer = await post(gateway, [EVENT | {"price": "--3"}, 7, []])
    assert answer.status_code == 422
    assert [verdict["reason"] for verdict in answer.json()["verdicts"]] == [
        "bad_price",
        "not_an_object",
        "not_an_object",
    ]
    assert await records(kafka, names.purchases) == []


async def test_a_thousand_events_at_once_and_not_one_more(
    gateway: httpx.AsyncClient, kafka: str, names: TopicNames
) -> None:
    events = [EVENT | {"event_id": f"till:{row}", "user_id": f"u{row % 7}"} for row in range(1_000)]
    answer = await post(gateway, events)
    assert answer.json()["accepted"] == 1_000
    rows: dict[int, list[int]] = {}
    for record in await records(kafka, names.purchases):
        rows.setdefault(record.partition, []).append(int(json.loads(record.value)["event_id"].partition(":")[2]))
    assert sum(map(len, rows.values())) == 1_000
    assert all(of_partition == sorted(of_partition) for of_partition in rows.values())
    assert (await gateway.post("/v1/events", json=[*events, EVENT])).status_code == 422
    assert (await gateway.post("/v1/events", json=[])).status_code == 422


async def test_a_request_under_a_key_may_be_sent_again(
    gateway: httpx.AsyncClient, kafka: str, names: TopicNames
) -> None:
    sold = [EVENT | {"price": "1.50"}, EVENT, EVENT | {"event_id": "own"}, EVENT | {"event_id": ""}]
    await post(gateway, sold)  # the producer is connected now; without a key there is no identity
    for key in ("key-1", '"key-1"', "key-2"):
        answer = await gateway.post("/v1/events", json=sold, headers={"Idempotency-Key": key})
        assert answer.status_code == 202, answer.text
    lines: dict[str | None, set[str]] = {}
    for record in await records(kafka, names.purchases):
        event = json.loads(record.value)
        lines.setdefault(event.get("event_id") or None, set()).add(event["price"])
    keyed = {
        f"{key}:{index}": {price}
        for key in ("key-1", "key-2")
        for index, price in ((0, "1.50"), (1, "162.01"), (3, "162.01"))
    }
    assert lines == keyed | {"own": {"162.01"}, None: {"1.50", "162.01"}}


async def test_a_key_keeps_the_text_of_numbers_and_gives_no_replay_an_id(
    gateway: httpx.AsyncClient, kafka: str, names: TopicNames
) -> None:
    await post(gateway, EVENT)
    raw = json.dumps(EVENT).replace('"162.01"', "162.010").encode()
    replay = json.dumps(EVENT | {"replay_of": "kz.csv:17"}).encode()
    answer = await gateway.post(
        "/v1/events",
        content=b"[%b,%b,7]" % (raw, replay),
        headers={"Idempotency-Key": "k", "Content-Type": "application/json"},
    )
    verdicts = EventsResponse.model_validate(answer.json()).verdicts
    assert [verdict.reason for verdict in verdicts] == [None, "missing_field", "not_an_object"]
    (value,) = (record.value for record in await records(kafka, names.purchases) if b"k:0" in record.value)
    assert b'"price":162.010' in value
    assert value.endswith(b'"event_id":"k:0"}')


@pytest.mark.parametrize("key", ["", "a b", "k" * 101, 'a"b', '"', "käse", "a\tb"])
async def test_a_key_that_is_no_key_is_a_problem(gateway: httpx.AsyncClient, key: str) -> None:
    answer = await gateway.post("/v1/events", json=EVENT, headers=[(b"Idempotency-Key", key.encode())])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_an_order_digest_is_for_exports(gateway: httpx.AsyncClient, kafka: str, names: TopicNames) -> None:
    """Whoever could name the digest of another's order would make its lines dead letters."""
    answer = await post(gateway, [EVENT | {"event_id": "1", "order_digest": "0" * 16}, EVENT])
    verdicts = EventsResponse.model_validate(answer.json()).verdicts
    assert [(verdict.status, verdict.reason) for verdict in verdicts] == [("rejected", "bad_id"), ("accepted", None)]


async def test_a_webhook_s_lines_reach_kafka_under_their_order_the_bad_ones_too(
    gateway: httpx.AsyncClient, kafka: str, names: TopicNames
) -> None:
    await post(gateway, EVENT)  # the producer is connected now
    changed_at = format_time(time.time_ns() // 1_000_000)
    body = encode(shopify_order(shopify_line(1, "5.00"), shopify_line(2, "x"), updated_at=changed_at))
    headers = {"X-Shopify-Hmac-Sha256": signature(body, SECRET)}
    answer = await gateway.post("/v1/hooks/shopify", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted", "lines": 2, "detail": None})
    sent = [record for record in await records(kafka, names.purchases) if b"line:" in record.value]
    assert [(record.key, json.loads(record.value)["price"]) for record in sent] == [
        (b"450789469", "5.00"),
        (b"450789469", "x"),
    ]
    assert len({record.partition for record in sent}) == 1


async def test_only_json_is_taken(gateway: httpx.AsyncClient) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await gateway.post("/v1/events", content=json.dumps(EVENT), headers={"Content-Type": content_type})
        assert answer.status_code == 415


async def test_kafka_away(redis_url: str) -> None:
    async with client_of(settings_of(redis_url=redis_url, produce_timeout_seconds=0.5)) as gateway:
        answer = await gateway.post("/v1/events", json=[EVENT, EVENT | {"price": "x"}])
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert [verdict["status"] for verdict in answer.json()["verdicts"]] == ["unconfirmed", "rejected"]


async def test_lag_is_what_lies_behind_the_marks(gateway: httpx.AsyncClient, redis_url: str, names: TopicNames) -> None:
    await post(gateway, [EVENT] * 5)
    await lag_becomes(gateway, 5)
    partition = (await post(gateway, EVENT)).json()["verdicts"][0]["partition"]
    writer = TableWriter(redis_url)
    writer.write([replace(PHONE)])
    writer.redis.hset(writer.keys[0]("marks"), f"{names.purchases}/{partition}", "4")
    writer.close()
    await lag_becomes(gateway, 2)


async def lag_becomes(gateway: httpx.AsyncClient, expected: int) -> None:
    """Wait until the summary has this lag."""

    async def reached() -> bool:
        return bool((await gateway.get("/v1/stats/summary")).json()["lag"] == expected)

    await eventually(reached, f"a lag of {expected}")
