"""The socket between a gateway and a recommender of one host: the same answers as by gRPC, and gRPC where it fails."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from recsys.model import load_model
from services.common import tracing
from services.common.exposition import exposition
from services.common.frames import MAX_FRAME_BYTES, FrameReader, frame
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.recommendations import Recommendations
from services.gateway.upstreams.catalogue import ShopCatalogue
from services.gateway.upstreams.direct_client import DirectClient, NotConnected
from services.gateway.upstreams.recommendations import RecommendationsWithFallback
from services.gateway.upstreams.recommender_client import Filters, RecommenderClient, RecommenderUnavailable
from services.recommender.answering import CustomerAnswers
from services.recommender.direct import DirectServer, SocketInUse
from services.recommender.server import RecommenderServer
from services.recommender.serving import Refusal, Serving
from tests.support.metrics import growth
from tests.support.models import MODELS, VERSION, Objects, checkerboard, publish, without_stream
from tests.support.spans import recorded

NOW_MS = 1_700_000_000_000
EVERYTHING = Filters()


class CountingClient(DirectClient):
    """Counts what was answered over the socket."""

    answered = 0

    async def ask(self, question: pb.DirectQuestion, timeout_s: float) -> pb.DirectAnswer:
        answer = await super().ask(question, timeout_s)
        self.answered += 1
        return answer


class Shop:
    """A recommender with both doors, and a client by each of them."""

    def __init__(self, path: Path) -> None:
        store = Objects()
        publish(store, checkerboard())
        self.serving = Serving(without_stream(load_model(store, f"{MODELS}/{VERSION}", VERSION)))
        self.path = path
        self.server = RecommenderServer(lambda: self.serving, clock=lambda: NOW_MS)
        self.direct_server = self.door(max_waiting=100)
        self.direct = CountingClient(path)
        self.by_socket: RecommenderClient
        self.by_grpc: RecommenderClient

    def door(self, max_waiting: int) -> DirectServer:
        customers = CustomerAnswers(None, lambda: None)
        return DirectServer(lambda: self.serving, customers, lambda: NOW_MS, max_waiting)

    async def open(self) -> None:
        address = f"127.0.0.1:{await self.server.start('127.0.0.1', 0)}"
        await self.direct_server.start(self.path)
        await self.direct.connect()
        self.by_grpc = RecommenderClient(address, 60_000, 60_000)
        self.by_socket = RecommenderClient(address, 60_000, 60_000, direct=self.direct)

    async def close(self) -> None:
        await self.direct.close()
        await self.by_socket.close()
        await self.by_grpc.close()
        await self.direct_server.close()
        await self.server.close(1)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path / "recommender.sock")
    await shop.open()
    async with asyncio.timeout(120):
        yield shop
    await shop.close()


async def body(client: RecommenderClient, user_id: str, k: int, filters: Filters) -> dict[str, Any]:
    """What the route gives."""
    nothing = cast(Any, None)  # popular products of the fallback are not asked for
    answering = RecommendationsWithFallback(client, nothing, nothing, nothing, ShopCatalogue())
    return dict(json.loads(await answering.for_customer(user_id, k, filters)))


async def asked_over_the_socket(shop: Shop) -> bool:
    """Whether a question goes that way now."""
    before = shop.direct.answered
    assert (await shop.by_socket.recommend("u00", 3, EVERYTHING)).user_id == "u00"
    return shop.direct.answered > before


@pytest.mark.parametrize(
    ("user_id", "k", "filters"),
    [
        ("u00", 3, EVERYTHING),
        ("nobody", 2, EVERYTHING),
        ("u01", 100, Filters(alike=True)),
        ("u01", 3, Filters(category="furniture", max_price=5_000, exclude_purchased=False)),
        ("u02", 3, Filters(brand="no such")),
    ],
)
async def test_the_answer_is_that_of_grpc(shop: Shop, user_id: str, k: int, filters: Filters) -> None:
    by_socket = await body(shop.by_socket, user_id, k, filters)
    assert (shop.direct.answered, by_socket["user_id"]) == (1, user_id)
    assert by_socket == await body(shop.by_grpc, user_id, k, filters)
    Recommendations.model_validate(by_socket, strict=True)


async def test_both_ends_name_the_trace_of_an_answer(shop: Shop) -> None:
    with recorded() as spans:
        with tracing.begin("request"):
            assert await asked_over_the_socket(shop)
        _, metrics = exposition("application/openmetrics-text")
    (trace_id,) = spans.trace_ids()
    for name in ("tillstream_gateway_recommender_call_seconds", "tillstream_recommender_request_seconds"):
        buckets = [line for line in metrics.decode().splitlines() if line.startswith(f"{name}_bucket")]
        named = [line for line in buckets if f'trace_id="{trace_id}"' in line]
        assert named, f"{name} has no exemplar of this trace"
        assert all('method="Recommend"' in line for line in named)


async def test_questions_that_wait_together_get_their_own_answers(shop: Shop) -> None:
    users = [f"u{number % 8:02d}" for number in range(40)]
    answers = await asyncio.gather(
        *(body(shop.by_socket, user, 1 + place % 2, EVERYTHING) for place, user in enumerate(users))
    )
    assert [answer["user_id"] for answer in answers] == users
    assert [len(answer["items"]) for answer in answers] == [1, 2] * 20
    assert all(answer["items"][0]["product_id"] == f"p{user[1:]}" for user, answer in zip(users, answers, strict=True))


async def test_an_invalid_argument_is_422_and_names_its_field(shop: Shop) -> None:
    with pytest.raises(Problem) as caught:
        await shop.by_socket.recommend("u00", 101, EVERYTHING)
    assert (caught.value.status_code, caught.value.detail.split()[0]) == (422, "k")


async def test_without_a_model_the_recommender_is_unavailable(shop: Shop) -> None:
    shop.serving = Serving(refusal=Refusal("v2", "broken"))
    failed = growth("recommender_request_seconds_count", method="Recommend", code="UNAVAILABLE")
    with pytest.raises(RecommenderUnavailable, match="version v2 was refused"):
        await shop.by_socket.recommend("u00", 3, EVERYTHING)
    assert failed() == 1


async def test_a_question_that_fails_leaves_the_others_their_answers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = shop.serving.main
    assert served is not None
    answer = served.recommender.for_users

    def failing(user_ids: Any, *rest: Any) -> Any:
        if "u03" in user_ids:
            raise ArithmeticError("made to fail")
        return answer(user_ids, *rest)

    monkeypatch.setattr(served.recommender, "for_users", failing)
    asked = (shop.by_socket.recommend(user, 1, EVERYTHING) for user in ("u02", "u03", "u04"))
    before, failed, after = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(before, pb.RecommendResponse)
    assert isinstance(after, pb.RecommendResponse)
    assert str(failed) == "INTERNAL: internal error"


async def test_a_question_beyond_its_deadline_is_not_answered(shop: Shop) -> None:
    question = pb.DirectQuestion(request=pb.RecommendRequest(user_id="u00"), timeout_ms=0)
    answer = await shop.direct.ask(question, 60)
    assert answer.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


async def test_beyond_the_limit_questions_are_turned_away(shop: Shop, tmp_path: Path) -> None:
    narrow, path = shop.door(max_waiting=2), tmp_path / "narrow.sock"
    await narrow.start(path)
    reader, writer = await asyncio.open_unix_connection(path)
    asked = pb.RecommendRequest(user_id="u00")
    questions = [pb.DirectQuestion(number=number, request=asked, timeout_ms=60_000) for number in range(5)]
    writer.write(b"".join(frame(question.SerializeToString()) for question in questions))  # they come together
    frames, answers = FrameReader(), list[pb.DirectAnswer]()
    while len(answers) < len(questions):
        answers += map(pb.DirectAnswer.FromString, frames.feed(await reader.read(65_536)))
    turned_away = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert {answer.number: answer.code for answer in answers} == {0: 0, 1: 0} | dict.fromkeys((2, 3, 4), turned_away)
    writer.close()
    await narrow.close()
    assert not path.exists()


async def test_nobody_there_is_asked_by_grpc(shop: Shop) -> None:
    await shop.direct_server.close()
    assert not await asked_over_the_socket(shop)
    with pytest.raises(NotConnected):
        await shop.direct.ask(pb.DirectQuestion(), 60)
    await shop.direct.connect()
    assert not shop.direct.connected
    shop.direct_server = shop.door(max_waiting=100)
    await shop.direct_server.start(shop.path)
    await shop.direct.connect()
    assert await asked_over_the_socket(shop)


async def test_only_this_user_may_open_the_socket(shop: Shop) -> None:
    assert stat.S_IMODE(shop.path.stat().st_mode) == 0o600


async def test_a_second_recommender_does_not_take_the_socket(shop: Shop) -> None:
    with pytest.raises(SocketInUse, match="TILLSTREAM_RECOMMENDER_SOCKET"):
        await shop.door(max_waiting=1).start(shop.path)
    assert await asked_over_the_socket(shop)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", (MAX_FRAME_BYTES + 1).to_bytes(4, "big"), b"\0\0\0\1\xff"])
async def test_another_protocol_ends_only_its_own_connection(shop: Shop, sent: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(shop.path)
    writer.write(sent)
    assert await reader.read() == b""
    writer.close()
    assert await asked_over_the_socket(shop)


async def test_the_answer_has_the_age_of_the_state(shop: Shop) -> None:
    served = shop.serving.main
    assert served is not None
    shop.serving = Serving(replace(served, stream=cast(Any, Followed())))
    assert (await body(shop.by_socket, "u00", 1, EVERYTHING))["state_age_ms"] == 42


class Followed:
    def age_ms(self, now_ms: int) -> int:
        return 42
