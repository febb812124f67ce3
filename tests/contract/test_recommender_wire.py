"""How the recommender is reached: TLS, mutual TLS, bearer tokens, and watches that take no place of answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import ValidationError

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from recsys.model import load_model
from services.common.settings import explain
from services.common.tls import TlsFiles
from services.gateway.settings import GatewaySettings
from services.gateway.upstreams.recommender_channel import RecommenderAccess
from services.gateway.upstreams.recommender_client import Filters, RecommenderClient, RecommenderUnavailable
from services.recommender.server import RecommenderServer, Wire
from services.recommender.service import SERVICE_NAME
from services.recommender.serving import Serving
from services.recommender.settings import RecommenderSettings
from services.recommender.wire import MAX_WATCHES_OF_ADDRESS
from tests.support.certificates import Authority
from tests.support.models import MODELS, VERSION, Objects, checkerboard, publish, without_stream
from tests.support.polling import eventually

TOKEN, NEXT_TOKEN = "a-token-of-sixteen-or-more", "the-token-that-replaces-it"


@pytest.fixture(scope="module")
def serving() -> Serving:
    store = Objects()
    publish(store, checkerboard(VERSION))
    return Serving(without_stream(load_model(store, f"{MODELS}/{VERSION}", VERSION)))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def served(serving: Serving, wire: Wire, max_concurrent: int | None = None) -> AsyncIterator[str]:
    server = RecommenderServer(lambda: serving, max_concurrent, wire=wire)
    port = await server.start("127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.close(0.2)


@asynccontextmanager
async def gateway(address: str, access: RecommenderAccess) -> AsyncIterator[RecommenderClient]:
    """The gateway's client."""
    client = RecommenderClient(address, deadline_ms=20_000, batch_deadline_ms=20_000, access=access)
    try:
        yield client
    finally:
        await client.close()


async def answers(client: RecommenderClient) -> bool:
    try:
        return (await client.recommend("u00", 3, Filters())).model_version == VERSION
    except RecommenderUnavailable:
        return False


async def test_mutual_tls(serving: Serving, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").issue("client")
    async with served(serving, Wire(authority.issue("server"))) as address:
        async with gateway(address, RecommenderAccess(authority.issue("client"))) as client:
            assert await client.serving()
            assert await answers(client)
        unknown = [TlsFiles(authority.ca), TlsFiles(authority.ca, other.cert, other.key)]
        for files in unknown:
            async with gateway(address, RecommenderAccess(files)) as client:
                assert not await answers(client)


async def test_a_server_of_another_authority_is_not_trusted(
    serving: Serving, authority: Authority, tmp_path: Path
) -> None:
    wire = Wire(replace(authority.issue("server"), ca=None))
    async with (
        served(serving, wire) as address,
        gateway(address, RecommenderAccess(TlsFiles(Authority(tmp_path / "other").ca))) as client,
    ):
        assert not await answers(client)


async def test_both_sides_use_renewed_files_without_a_restart(
    serving: Serving, authority: Authority, tmp_path: Path
) -> None:
    """The authority itself is replaced: only a server and a client that both read their files again still meet."""
    async with served(serving, Wire(authority.issue("server"))) as address:
        async with gateway(address, RecommenderAccess(authority.issue("client"))) as client:
            assert await answers(client)
            renewed = Authority(tmp_path)
            renewed.issue("server")
            renewed.issue("client")
            await client.renew()
            assert await answers(client)
        async with gateway(address, RecommenderAccess(renewed.issue("new"))) as client:
            assert await answers(client)


async def test_a_bearer_token_is_asked_for(serving: Serving) -> None:
    async with served(serving, Wire(tokens=[TOKEN, NEXT_TOKEN])) as address:
        for token, known in ((TOKEN, True), (NEXT_TOKEN, True), ("another-token-than-those", False), (None, False)):
            async with gateway(address, RecommenderAccess(token=token)) as client:
                assert await client.serving(), "balancers ask for the health without a token"
                assert await answers(client) == known


async def test_watches_take_no_place_of_answers(serving: Serving) -> None:
    async with served(serving, Wire(), max_concurrent=1) as address, aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
        watches = [health.Watch(request) for _ in range(MAX_WATCHES_OF_ADDRESS)]
        statuses = await asyncio.gather(*(watch.read() for watch in watches))
        assert {status.status for status in statuses} == {health_pb2.HealthCheckResponse.SERVING}
        with pytest.raises(aio.AioRpcError) as refused:
            await health.Watch(request).read()
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        answer = await recommender_pb2_grpc.RecommenderStub(channel).Recommend(pb.RecommendRequest(user_id="u00"))
        assert answer.model_version == VERSION
        watches.pop().cancel()
        await eventually(lambda: watches_again(health, request), "the place of a watch that has ended is free")
        for watch in watches:
            watch.cancel()


async def watches_again(health: Any, request: health_pb2.HealthCheckRequest) -> bool:
    watch = health.Watch(request)
    try:
        return bool((await watch.read()).status == health_pb2.HealthCheckResponse.SERVING)
    except aio.AioRpcError:
        return False
    finally:
        watch.cancel()


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        (RecommenderSettings, {"recommender_token": "short"}, "TILLSTREAM_RECOMMENDER_TOKEN: "),
        (
            RecommenderSettings,
            {"recommender_token": TOKEN, "host": "0.0.0.0"},
            "TILLSTREAM_RECOMMENDER_TOKEN needs TLS",
        ),
        (RecommenderSettings, {"recommender_server_cert_file": "/no/cert.pem"}, "/no/cert.pem cannot be used"),
        (RecommenderSettings, {"recommender_server_key_file": "/"}, "a server needs a certificate"),
        (GatewaySettings, {"recommender_ca_file": "/no/ca.pem"}, "TILLSTREAM_RECOMMENDER_*_FILE: /no/ca.pem cannot"),
        (GatewaySettings, {"gateway_cert_file": "/no/cert.pem"}, "TILLSTREAM_GATEWAY_*_FILE: /no/cert.pem cannot"),
        (
            GatewaySettings,
            {"recommender_token": TOKEN, "recommender_address": "dns:///recommender:50051"},
            "TILLSTREAM_RECOMMENDER_TOKEN needs TLS",
        ),
    ],
)
def test_settings_that_cannot_be_are_one_line(settings: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**given)
    line = explain(refused.value)
    assert said in line
    assert "\n" not in line
    assert TOKEN not in line
