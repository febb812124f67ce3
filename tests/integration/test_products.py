"""The catalogue on a real Kafka: written over HTTP and from a file, followed by gateway and recommender."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from recsys.catalogue import Filters
from services.common.product_follower import ProductFollower
from services.common.products import CatalogueProduct
from services.common.settings import KafkaSettings
from services.common.topics import PRODUCTS
from services.producer import products_command
from services.provision.topics import create
from services.recommender.model_loader import ModelLoader
from services.recommender.model_startup import ModelActivator
from services.recommender.products import ShopProducts
from services.recommender.service import clock_ms
from services.recommender.settings import RecommenderSettings
from tests.support.engines import TopicFactory
from tests.support.gateway_app import client_of, product_ids, settings_of
from tests.support.gateway_tables import SHOP, TableWriter
from tests.support.models import VERSION, Objects, checkerboard, point_at, publish, write_model
from tests.support.polling import eventually

NEWER = "20200502T000000Z-000002"


@pytest.fixture
async def topic(kafka: str) -> str:
    made = replace(PRODUCTS, name=f"products-{uuid.uuid4().hex[:12]}")
    await create(KafkaSettings(kafka_bootstrap=kafka), [made])
    return made.name


@pytest.fixture
async def gateway(redis_url: str, kafka: str, topic: str) -> AsyncIterator[httpx.AsyncClient]:
    writer = TableWriter(redis_url)
    writer.write(SHOP)
    writer.close()
    given: dict[str, Any] = {"redis_url": redis_url, "kafka_bootstrap": kafka, "products_topic": topic}
    async with client_of(settings_of(**given, probe_seconds=0.1)) as client:
        yield client


async def put(gateway: httpx.AsyncClient, product_id: str, **fields: Any) -> None:
    """Write a product, once the producer is connected."""

    async def taken() -> bool:
        return (await gateway.put(f"/v1/products/{product_id}", json=fields)).status_code == 200

    await eventually(taken, "the product is written")


async def bestsellers(gateway: httpx.AsyncClient) -> dict[str, Any]:
    answer: dict[str, Any] = (await gateway.get("/v1/users/nobody/recommendations?k=100")).json()
    assert answer["strategy"] == "popular_fallback"
    return answer


async def test_what_is_written_is_shown_and_what_is_withheld_is_in_no_fallback(gateway: httpx.AsyncClient) -> None:
    first = product_ids(await bestsellers(gateway))[0]
    image = "https://images.example.com/1.jpg"
    await put(gateway, first, product_name="own name", price="0.05", image_url=image, attributes={"colour": "red"})

    async def renamed() -> bool:
        return bool((await bestsellers(gateway))["items"][0]["product_name"] == "own name")

    await eventually(renamed, "the catalogue's name is in the fallback")
    (item, *_) = (await bestsellers(gateway))["items"]
    assert (item["price"], item["image_url"]) == ("0.05", image)
    product = (await gateway.get(f"/v1/products/{first}")).json()
    assert (product["availability"], product["attributes"]) == ("in_stock", {"colour": "red"})
    found = (await gateway.get("/v1/products", params={"search": "own na"})).json()
    assert [entry["product_id"] for entry in found] == [first]
    for availability in ("out_of_stock", "hidden", "deleted"):
        await put(gateway, first, availability=availability)
        await eventually(lambda: _lacks(gateway, first), f"a product that is {availability} is gone")
        await put(gateway, first)
        await eventually(lambda: _has(gateway, first), "it is back")


async def _lacks(gateway: httpx.AsyncClient, product_id: str) -> bool:
    return product_id not in product_ids(await bestsellers(gateway))


async def _has(gateway: httpx.AsyncClient, product_id: str) -> bool:
    return not await _lacks(gateway, product_id)


async def test_a_product_that_was_never_sold_is_known_until_it_is_deleted(gateway: httpx.AsyncClient) -> None:
    path = "/v1/products/never-sold"
    assert (await gateway.get(path)).status_code == 404
    await put(gateway, "never-sold", brand="acme", price="1.00")

    async def status(code: int) -> bool:
        return (await gateway.get(path)).status_code == code

    await eventually(lambda: status(200), "the catalogue's product is shown")
    assert (await gateway.get(path)).json()["revenue"] == "0.00"
    assert (await gateway.get(f"{path}/similar")).status_code == 200
    assert (await gateway.delete(path)).json()["availability"] == "deleted"
    await eventually(lambda: status(404), "it is deleted")


class Shelf(dict[str, CatalogueProduct | None]):
    """What a follower has read."""

    def put(self, product_id: str, product: CatalogueProduct | None) -> None:
        self[product_id] = product


async def test_a_file_is_written_and_read_from_the_beginning(
    kafka: str, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLSTREAM_KAFKA_BOOTSTRAP", kafka)
    monkeypatch.setenv("TILLSTREAM_PRODUCTS_TOPIC", topic)
    file = tmp_path / "products.csv"
    file.write_text("product_id;price;availability;attribute.colour\n1;9.90;hidden;red\n2;x;;\n3;;;\n")
    assert await asyncio.to_thread(products_command.main, [str(file)]) == 3
    said = capsys.readouterr()
    assert "2 products sent, 1 rows refused" in said.out
    assert "row 2: price 'x' is not a plain decimal number" in said.err
    shelf = Shelf()
    follower = ProductFollower(KafkaSettings(kafka_bootstrap=kafka, products_topic=topic), shelf)
    await follower.start()
    assert await follower.wait_caught_up(120)
    await follower.close()
    assert {name: product and product.price for name, product in shelf.items()} == {"1": 990, "3": None}


async def test_without_the_topic_there_is_nothing_to_wait_for(kafka: str) -> None:
    follower = ProductFollower(KafkaSettings(kafka_bootstrap=kafka, products_topic="no-such-topic"), Shelf())
    await follower.start()
    assert await follower.wait_caught_up(120)
    await follower.close()


async def test_the_recommender_knows_the_catalogue_before_it_answers_and_across_swaps(
    kafka: str, topic: str, topics: TopicFactory
) -> None:
    store, loop = Objects(), asyncio.get_running_loop()
    publish(store, checkerboard())
    write_model(store, checkerboard(NEWER))
    settings = RecommenderSettings(
        kafka_bootstrap=kafka, purchases_topic=topics(partitions=1).purchases, products_topic=topic
    )
    shop = ShopProducts(settings, patience_s=120)
    activator = ModelActivator(settings, loop, shop)
    loader = ModelLoader(
        store, 60, lambda _: None, attach_state=activator.attach_state, detach_state=activator.detach_state, spare=4
    )
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:

        async def send(product_id: str, value: bytes) -> None:
            await producer.send_and_wait(topic, value, key=product_id.encode())

        await send("p00", b'{"availability": "hidden"}')
        await shop.start()
        await asyncio.to_thread(loader.poll)
        assert "p00" not in shown(loader), "known before the first answer"
        await send("p01", b'{"availability": "deleted"}')
        await eventually(lambda: "p01" not in shown(loader), "gone while it answers")
        point_at(store, NEWER)
        await asyncio.to_thread(loader.poll)
        main = loader.serving.main
        assert main is not None
        assert main.model.version == NEWER != VERSION
        assert not {"p00", "p01"} & shown(loader), "known by the next model, too"
        await send("p00", b"{}")
        await eventually(lambda: "p00" in shown(loader), "back in stock")
    await activator.close()
    await shop.close()


def shown(loader: ModelLoader) -> set[str]:
    """Every product that is recommended to somebody unknown."""
    assert loader.serving.main is not None
    recommender = loader.serving.main.recommender
    names = recommender.model.catalogue.product_ids
    for_nobody = recommender.for_user("nobody", 100, Filters(), clock_ms()).picks
    return {names[pick.product] for pick in for_nobody}
