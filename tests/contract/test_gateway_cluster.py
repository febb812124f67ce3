"""The gateway reads live tables that are spread over the slots of a real cluster."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.gateway_app import client_of, settings_of
from tests.support.gateway_tables import MYSTERY, PHONE, SHOP, TableWriter
from tests.support.valkey_cluster import valkey_cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey_cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address


async def test_every_kind_of_reading(cluster: str) -> None:
    writer = TableWriter(cluster, shards=4)
    writer.write(SHOP)
    own = replace(PHONE, category="electronics", price=500)
    writer.write([own, replace(own, time=MYSTERY.time, quantity=-1)])
    writer.close()
    async with client_of(settings_of(redis_url=cluster, redis_cluster=True, shards=4)) as gateway:
        assert (await gateway.get("/v1/stats/summary")).json()["revenue"] == "266.99"
        rows = (await gateway.get("/v1/stats/sales", params={"granularity": "hour"})).json()
        assert [row["revenue"] for row in rows] == ["218.99", "73.99", "-25.99"]
        spenders = (await gateway.get("/v1/stats/top/spenders")).json()
        assert [row["id"] for row in spenders] == [PHONE.user_id, MYSTERY.user_id]
        month = {"from": "2020-04-01T00:00:00Z", "to": "2020-05-01T00:00:00Z"}
        categories = (await gateway.get("/v1/stats/top/categories", params=month)).json()
        assert [row["revenue"] for row in categories] == ["162.01", "51.98", "5.00"]
        assert (await gateway.get("/v1/users", params={"prefix": "user/"})).json() == [MYSTERY.user_id]
        customer = (await gateway.get(f"/v1/users/{PHONE.user_id}")).json()
        assert (customer["revenue"], len(customer["purchases"])) == ("188.00", 5)
        assert (await gateway.get("/v1/users/new/recommendations")).json()["items"][0]["product_id"] == PHONE.product_id
