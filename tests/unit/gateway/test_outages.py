"""What the log and the problem document say of a component that does not answer."""

import logging

import httpx
import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.gateway.upstreams.outages import OutageLog, short_reason

ADDRESS = "http://10.0.0.7:8333"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timed out"),
        (httpx.ReadTimeout(ADDRESS), "timed out"),
        (KafkaTimeoutError(ADDRESS), "timed out"),
        (ReadTimeoutError(endpoint_url=ADDRESS), "timed out"),
        (RedisTimeoutError(ADDRESS), "timed out"),
        (httpx.ConnectError(ADDRESS), "unreachable"),
        (KafkaConnectionError(ADDRESS), "unreachable"),
        (EndpointConnectionError(endpoint_url=ADDRESS), "unreachable"),
        (RedisConnectionError(ADDRESS), "unreachable"),
        (ResponseError("LOADING"), "refused"),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "HeadBucket"), "refused"),
    ],
)
def test_the_reason_is_short_and_has_no_address(error: Exception, reason: str) -> None:
    assert short_reason(error) == reason


def test_an_outage_is_logged_once_in_its_own_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outages = OutageLog()
    outages.recovered("s3")
    for _attempt in range(3):
        assert outages.started("s3", OSError(f"no route to {ADDRESS}")) == "unreachable"
    outages.recovered("s3")
    outages.recovered("s3")
    assert outages.started("s3", OSError(f"no route to {ADDRESS}")) == "unreachable"
    away = f"s3 does not answer: OSError: no route to {ADDRESS}"
    assert caplog.messages == [away, "s3 answers again", away]
