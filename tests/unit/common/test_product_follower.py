"""What a follower makes of a topic that it does not see: no catalogue yet, or one that it may not read."""

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError

from services.common import product_follower
from services.common.kafka import TopicMissing
from services.common.product_follower import ProductFollower
from services.common.products import CatalogueProduct
from services.common.settings import KafkaSettings
from tests.support.metrics import growth


class Shelf(dict[str, CatalogueProduct | None]):
    """What a follower has read."""

    def put(self, product_id: str, product: CatalogueProduct | None) -> None:
        self[product_id] = product


class SeesNothing:
    """A consumer to which the brokers list no topic."""

    async def start(self) -> None:
        """It is connected."""

    async def stop(self) -> None:
        """It ends."""

    async def topics(self) -> set[str]:
        return set()


@pytest.mark.parametrize(
    ("answer", "is_empty", "pause_s"),
    [
        (TopicMissing("products"), True, 10.0),
        (TopicAuthorizationFailedError("products"), False, 10.0),
        (KafkaConnectionError("away"), False, 1.0),
    ],
    ids=["missing", "not allowed", "away"],
)
async def test_only_a_topic_that_is_missing_is_an_empty_catalogue(
    monkeypatch: pytest.MonkeyPatch, answer: KafkaError, is_empty: bool, pause_s: float
) -> None:
    asked: list[list[str]] = []

    async def require_topics(_settings: KafkaSettings, topics: list[str]) -> None:
        asked.append(topics)
        raise answer

    monkeypatch.setattr(product_follower, "make_consumer", lambda *_, **__: SeesNothing())
    monkeypatch.setattr(product_follower, "require_topics", require_topics)
    failures = growth("products_follow_failures_total")
    follower = ProductFollower(KafkaSettings(products_topic="articles"), Shelf())
    assert await follower._attempt() == pause_s
    assert asked == [["articles"]], "by its name: what is not listed may be there"
    assert follower.caught_up == is_empty
    assert follower.failures == failures() == int(not is_empty)
    assert await follower.wait_caught_up(0.0) == is_empty, "nobody waits for ever"
