"""What a route answers while S3 does not."""

import logging
from collections.abc import Awaitable
from http import HTTPStatus
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from services.gateway.api.problems import Problem
from services.gateway.upstreams.outages import short_reason

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


async def answered(work: Awaitable[Result]) -> Result:
    """The result of work in S3. Raises Problem 503 where S3 does not answer."""
    try:
        return await work
    except (BotoCoreError, ClientError) as error:
        logger.warning("the bucket does not answer: %s", error)
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the bucket does not answer: {short_reason(error)}",
            {"Retry-After": "5"},
        ) from None
