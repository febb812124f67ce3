"""The gRPC contract, spoken to a real server over a socket: answers, errors, health, reflection, deadlines."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from msgspec import structs

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from recsys.model import load_model
from services.common.request_id import REQUEST_ID
from services.common.telemetry import PortInUse
from services.recommender.ab_assignment import assign_variant
from services.recommender.server import LIVENESS, RecommenderServer, Wire
from services.recommender.service import SERVICE_NAME
from services.recommender.serving import Refusal, ServedVariant, Serving, ServingModel
from tests.support.metrics import growth
from tests.support.models import COMPOSITION, MODELS, VERSION, Objects, checkerboard, publish, without_stream
from tests.support.polling import eventually

if TYPE_CHECKING:  # the generated stubs know it, the generated code does not
    from proto.tillstream.recommender.v1.recommender_pb2_grpc import RecommenderAsyncStub

NOW_MS = 1_700_000_000_000

Stub: TypeAlias = "RecommenderAsyncStub"


class Stage:
    """What the server serves, to be changed by a test."""

    def __init__(self) -> None:
        self.serving = Serving()

    def load(self, version: str = VERSION) -> None:
        self.serving = Serving(self.model(version))

    @staticmethod
    def model(version: str) -> ServingModel:
        store = Objects()
        publish(store, checkerboard(version))
        return without_stream(load_model(store, f"{MODELS}/{version}", version))


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.load()
    return stage


@pytest.fixture
async def server(stage: Stage) -> AsyncIterator[RecommenderServer]:
    server = RecommenderServer(lambda: stage.serving, clock=lambda: NOW_MS)
    yield server
    await server.close(1)


@pytest.fixture
async def channel(server: RecommenderServer) -> AsyncIterator[aio.Channel]:
    port = await server.start("127.0.0.1", 0)
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


@pytest.fixture
def stub(channel: aio.Channel) -> Stub:
    return recommender_pb2_grpc.RecommenderStub(channel)


async def status_of(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def test_recommend_answers_with_version_strategy_catalogue_and_reason(
    stub: Stub,
) -> None:
    answer = await stub.Recommend(pb.RecommendRequest(user_id="u00"))
    assert (answer.user_id, answer.strategy, answer.model_version) == ("u00", pb.STRATEGY_PERSONAL, VERSION)
    assert [item.product_id for item in answer.items] == ["p00", "p90", "p01"]
    item = answer.items[0]
    assert (item.product_name, item.category_code, item.brand) == ("Product 0", "electronics.audio", "acme")
    assert item.HasField("price_cents")
    assert item.price_cents == 0
    assert item.score == pytest.approx(1.0, abs=0.05)
    assert (item.reason.code, item.reason.product_id) == ("customers_like_you", "")
    assert 0 < item.reason.weight < item.score, "popularity has a little part in it"
    assert (answer.variant, answer.HasField("state_age_ms")) == ("main", False)


async def test_an_unknown_customer_gets_popular_products_that_say_so(
    stub: Stub,
) -> None:
    answer = await stub.Recommend(pb.RecommendRequest(user_id="nobody", k=1))
    assert answer.strategy == pb.STRATEGY_POPULAR
    (item,) = answer.items
    assert (item.product_id, item.reason.code, item.reason.weight) == ("p90", "popular", item.score)
    assert item.score == pytest.approx(0.001 * math.log(51))
    assert (item.product_name, item.category_code) == ("", "")


async def test_a_batch_equals_its_single_answers(stub: Stub) -> None:
    users = [f"u{number % 8:02d}" for number in range(40)] + ["nobody"]
    filters = pb.Filters(category="furniture", exclude_product_ids=["p01"])
    batch = await stub.RecommendBatch(pb.RecommendBatchRequest(user_ids=users, k=4, filters=filters))
    single = [await stub.Recommend(pb.RecommendRequest(user_id=user, k=4, filters=filters)) for user in users]
    assert list(batch.results) == single
    assert batch.model_version == VERSION


async def test_a_basket_reports_what_it_did_not_know(stub: Stub) -> None:
    answer = await stub.RecommendForItems(pb.RecommendForItemsRequest(product_ids=["p00", "ghost"], k=2))
    assert (answer.strategy, answer.user_id) == (pb.STRATEGY_BASKET, "")
    assert [item.product_id for item in answer.items] == ["p02", "p04"]
    assert {(item.reason.code, item.reason.product_id) for item in answer.items} == {("customers_like_you", "")}
    assert answer.variant == "main"
    assert list(answer.unknown_product_ids) == ["ghost"]


async def test_similar_products(stub: Stub) -> None:
    answer = await stub.SimilarItems(pb.SimilarItemsRequest(product_id="p01"))
    assert answer.model_version == VERSION
    assert [item.product_id for item in answer.items] == ["p03", "p05", "p07"]
    assert {(item.reason.code, item.reason.product_id) for item in answer.items} == {("same_category", "p01")}
    assert all("similar" in item.reason.also for item in answer.items)
    assert not answer.complements, "the model has no order pairs"
    assert answer.variant == "main"
    code, details = await status_of(stub.SimilarItems(pb.SimilarItemsRequest(product_id="ghost")))
    assert code == grpc.StatusCode.NOT_FOUND
    assert "ghost" in details


async def test_get_model(stub: Stub, stage: Stage) -> None:
    trial = ServedVariant("trial", 0.25, "newer", None, Refusal("newer", "it is broken"))
    stage.serving = Serving(followed(stage.serving.main, 40), Refusal("newer", "it is broken"), (trial,))
    assert await stub.GetModel(pb.GetModelRequest()) == pb.GetModelResponse(
        model_version=VERSION,
        users=8,
        items=8,
        rank=2,
        trained_at_ms=1_588_291_200_000,
        loaded_at_ms=1_600_000_000_000,
        refused_version="newer",
        refused_reason="it is broken",
        state_age_ms=40,
        composition="factors 1, popularity 0.001; live counts 1 × 24 h; what a customer has bought is left out; "
        "sold within 30 days",
        masks_bought=True,
        variants=[pb.Variant(name="trial", weight=0.25, model_version="newer", refused_reason="it is broken")],
    )


@pytest.mark.parametrize("masks_bought", [True, False])
async def test_get_model_says_whether_purchases_are_masked(stub: Stub, stage: Stage, masks_bought: bool) -> None:
    store = Objects()
    weights = structs.replace(COMPOSITION, mask_bought=masks_bought)
    publish(store, replace(checkerboard(), composition=weights))
    stage.serving = Serving(without_stream(load_model(store, f"{MODELS}/{VERSION}", VERSION)))
    answer = await stub.GetModel(pb.GetModelRequest())
    assert (answer.HasField("masks_bought"), answer.masks_bought) == (True, masks_bought)


@dataclass(frozen=True)
class FixedStream:
    """A stream whose state has a fixed age."""

    age: int
    lag: int = 0
    records_read: int = 0
    caught_up: bool = True
    events_per_second: float | None = None

    def age_ms(self, now_ms: int) -> int:
        assert now_ms == NOW_MS
        return self.age


def followed(served: ServingModel | None, age_ms: int) -> ServingModel:
    assert served is not None
    return replace(served, stream=FixedStream(age_ms))


async def test_every_answer_has_the_age_of_the_state(stub: Stub, stage: Stage) -> None:
    stage.serving = Serving(followed(stage.serving.main, 1234))
    answers: list[Any] = [
        await stub.Recommend(pb.RecommendRequest(user_id="u00")),
        (await stub.RecommendBatch(pb.RecommendBatchRequest(user_ids=["u00"]))).results[0],
        await stub.RecommendForItems(pb.RecommendForItemsRequest(product_ids=["p00"])),
        await stub.SimilarItems(pb.SimilarItemsRequest(product_id="p01")),
    ]
    assert [answer.state_age_ms for answer in answers] == [1234] * 4


async def test_customers_are_answered_by_the_model_they_belong_to_also_in_a_batch(stub: Stub, stage: Stage) -> None:
    trial = ServedVariant("trial", 0.5, "newer", followed(stage.model("newer"), 7))
    stage.serving = Serving(stage.serving.main, None, (trial,))
    users = [f"u{number:02d}" for number in range(20)]
    single = [await stub.Recommend(pb.RecommendRequest(user_id=user)) for user in users]
    arms = {(answer.variant, answer.model_version, answer.state_age_ms) for answer in single}
    assert arms == {("main", VERSION, 0), ("trial", "newer", 7)}
    assert [answer.variant for answer in single] == ["trial" if assign_variant(u, [trial]) else "main" for u in users]
    batch = await stub.RecommendBatch(pb.RecommendBatchRequest(user_ids=users))
    assert (list(batch.results), batch.model_version) == (single, VERSION)
    basket = await stub.RecommendForItems(pb.RecommendForItemsRequest(product_ids=["p00"]))
    assert (basket.variant, basket.model_version) == ("main", VERSION)


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("Recommend", pb.RecommendRequest(), "user_id"),
        ("Recommend", pb.RecommendRequest(user_id="x" * 129), "user_id"),
        ("Recommend", pb.RecommendRequest(user_id="u00", k=-1), "k"),
        ("Recommend", pb.RecommendRequest(user_id="u00", k=101), "k"),
        ("Recommend", pb.RecommendRequest(user_id="u", filters=pb.Filters(min_price_cents=-1)), "filters.min_price"),
        ("RecommendBatch", pb.RecommendBatchRequest(), "user_ids"),
        ("RecommendBatch", pb.RecommendBatchRequest(user_ids=["a"] * 1001), "user_ids"),
        ("RecommendBatch", pb.RecommendBatchRequest(user_ids=["a", ""]), "user_ids[1]"),
        ("RecommendForItems", pb.RecommendForItemsRequest(), "product_ids"),
        ("RecommendForItems", pb.RecommendForItemsRequest(product_ids=["a"] * 10_000), "product_ids"),
        ("RecommendForItems", pb.RecommendForItemsRequest(product_ids=["a"], k=10_000), "k"),
        ("SimilarItems", pb.SimilarItemsRequest(), "product_id"),
    ],
)
async def test_an_invalid_argument_names_its_field(stub: Stub, method: str, request_: Any, field: str) -> None:
    code, details = await status_of(getattr(stub, method)(request_))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(field)


async def test_without_a_model_every_answer_is_unavailable_but_get_model_answers(stub: Stub, stage: Stage) -> None:
    stage.serving = Serving(None, Refusal("bad", "it is broken"))
    calls = (
        stub.Recommend(pb.RecommendRequest(user_id="u00")),
        stub.RecommendBatch(pb.RecommendBatchRequest(user_ids=["u00"])),
        stub.RecommendForItems(pb.RecommendForItemsRequest(product_ids=["p00"])),
        stub.SimilarItems(pb.SimilarItemsRequest(product_id="p00")),
    )
    for call in calls:
        code, details = await status_of(call)
        assert code == grpc.StatusCode.UNAVAILABLE
        assert details == "no model is loaded yet; version bad was refused"
    model = await stub.GetModel(pb.GetModelRequest())
    assert (model.model_version, model.refused_version, model.refused_reason) == ("", "bad", "it is broken")
    assert not model.HasField("masks_bought")


async def test_an_error_of_ours_is_internal_and_reveals_nothing(
    stub: Stub, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.serving = None  # type: ignore[assignment]
    code, details = await status_of(stub.Recommend(pb.RecommendRequest(user_id="u00")))
    assert (code, details) == (grpc.StatusCode.INTERNAL, "internal error")
    assert "a request failed" in caplog.text


async def health_of(channel: aio.Channel, service: str) -> int:
    health: Any = health_pb2_grpc.HealthStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def test_health_of_the_service_follows_the_model_and_that_of_the_process_does_not(
    channel: aio.Channel, server: RecommenderServer, stage: Stage
) -> None:
    status = health_pb2.HealthCheckResponse
    loaded = stage.serving
    for serving, expected in ((Serving(), status.NOT_SERVING), (loaded, status.SERVING)):
        stage.serving = serving
        await server.show_health()
        assert await health_of(channel, SERVICE_NAME) == expected
        assert await health_of(channel, LIVENESS) == status.SERVING


async def test_a_server_that_drains_is_alive_answers_and_wants_no_more(
    channel: aio.Channel, server: RecommenderServer, stub: Stub
) -> None:
    status = health_pb2.HealthCheckResponse
    draining = asyncio.create_task(server.drain(0.5))
    await asyncio.sleep(0.1)
    assert await health_of(channel, SERVICE_NAME) == status.NOT_SERVING
    assert await health_of(channel, LIVENESS) == status.SERVING
    await server.show_health()  # as after a swap of models meanwhile
    assert await health_of(channel, SERVICE_NAME) == status.NOT_SERVING
    assert (await stub.Recommend(pb.RecommendRequest(user_id="u00"))).items
    assert not draining.done()
    await draining


async def test_health_does_not_know_other_services(channel: aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    code, _ = await status_of(health.Check(health_pb2.HealthCheckRequest(service="other")))
    assert code == grpc.StatusCode.NOT_FOUND


async def reflected(channel: aio.Channel) -> set[str]:
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answers = [answer async for answer in call]
    return {service.name for answer in answers for service in answer.list_services_response.service}


async def test_reflection_is_off_unless_it_is_wanted(channel: aio.Channel) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await reflected(channel)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_lists_the_services(stage: Stage) -> None:
    server = RecommenderServer(lambda: stage.serving, wire=Wire(reflection=True))
    port = await server.start("127.0.0.1", 0)
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert {SERVICE_NAME, "grpc.health.v1.Health"} <= await reflected(channel)
    await server.close(1)


def ended(method: str, code: str) -> Callable[[], float]:
    """How many requests of a method end with a status from now on."""
    return growth("recommender_request_seconds_count", method=method, code=code)


async def test_a_deadline_ends_a_batch_and_lets_others_through(stub: Stub) -> None:
    given_up, finished = ended("RecommendBatch", "CANCELLED"), ended("RecommendBatch", "OK")
    request = pb.RecommendBatchRequest(user_ids=[f"u{number % 8:02d}" for number in range(1000)], k=100)
    batches = [status_of(stub.RecommendBatch(request, timeout=0.02)) for _ in range(5)]
    codes = {code for code, _ in await asyncio.gather(*batches)}
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}
    answer = await stub.Recommend(pb.RecommendRequest(user_id="u00"), timeout=60)
    assert answer.model_version == VERSION
    await eventually(given_up, "a batch has ended")
    assert finished() == 0, "a batch went on after its deadline"


async def test_requests_are_counted_by_method_and_code(stub: Stub) -> None:
    good, bad = ended("Recommend", "OK"), ended("Recommend", "INVALID_ARGUMENT")
    await stub.Recommend(pb.RecommendRequest(user_id="u00"))
    await status_of(stub.Recommend(pb.RecommendRequest(user_id="")))
    # A call is counted when its answer has been sent: the client may have it by then.
    await eventually(lambda: good() and bad(), "both are counted")
    assert (good(), bad()) == (1, 1)


class LoggedIds(logging.Handler):
    """The request id that each log line would have."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(REQUEST_ID.get())


async def test_the_log_of_a_request_has_the_callers_id(stub: Stub, stage: Stage) -> None:
    stage.serving = None  # type: ignore[assignment]  # a defect: every call fails
    log, logged = logging.getLogger("services.recommender.interceptors"), LoggedIds()
    log.addHandler(logged)
    try:
        for metadata in ((("x-request-id", "abc"),), (("x-request-id", "a b"),), ()):
            code, _ = await status_of(stub.Recommend(pb.RecommendRequest(user_id="u00"), metadata=metadata))
            assert code == grpc.StatusCode.INTERNAL
    finally:
        log.removeHandler(logged)
    assert logged.seen == ["abc", None, None]


async def test_each_answer_is_timed_by_its_strategy(stub: Stub) -> None:
    timed = {
        strategy: growth("recommender_scoring_seconds_count", strategy=strategy)
        for strategy in ("personal", "popular", "basket")
    }
    await stub.RecommendBatch(pb.RecommendBatchRequest(user_ids=["u00", "u01", "nobody"]))
    await stub.RecommendForItems(pb.RecommendForItemsRequest(product_ids=["p00"]))
    assert {strategy: count() for strategy, count in timed.items()} == {"personal": 2, "popular": 1, "basket": 1}


async def test_a_port_in_use_is_named_with_its_setting(server: RecommenderServer, stage: Stage) -> None:
    port = await server.start("127.0.0.1", 0)
    second = RecommenderServer(lambda: stage.serving)
    with pytest.raises(PortInUse, match=f"port {port} .* TILLSTREAM_RECOMMENDER_PORT"):
        await second.start("127.0.0.1", port)
    await second.close(0)


async def test_beyond_the_limit_requests_are_turned_away_at_once(stage: Stage) -> None:
    server = RecommenderServer(lambda: stage.serving, max_concurrent=1)
    port = await server.start("127.0.0.1", 0)
    request = pb.RecommendBatchRequest(user_ids=["u00"] * 1000, k=100)
    async with aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = recommender_pb2_grpc.RecommenderStub(channel)
        outcomes = await asyncio.gather(*(stub.RecommendBatch(request) for _ in range(10)), return_exceptions=True)
    await server.close(1)
    refused = [outcome for outcome in outcomes if isinstance(outcome, aio.AioRpcError)]
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert 1 <= len(outcomes) - len(refused) < 10
