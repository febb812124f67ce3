"""Command line of privacy: `python -m services.privacy export|erase|sweep|audit`."""

import argparse
import asyncio
import sys

import msgspec
from aiokafka.errors import KafkaError
from botocore.exceptions import BotoCoreError, ClientError
from redis.exceptions import RedisClusterException, RedisError

from services.common.conditional_write import Contended
from services.common.entrypoint import refuse, run_command
from services.common.erasure_list import BadErasureList
from services.common.storage_errors import NoSuchObject
from services.privacy.command import command_parser
from services.privacy.models import NothingLeft
from services.privacy.redaction import CannotRedact
from services.privacy.settings import PrivacySettings

_PREFIX = "privacy"
_FAILURES = (
    BadErasureList,
    CannotRedact,
    NothingLeft,
    Contended,
    NoSuchObject,
    msgspec.DecodeError,
    BotoCoreError,
    ClientError,
    KafkaError,
    RedisError,
    RedisClusterException,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = command_parser().parse_args(arguments)
    return run_command(_PREFIX, PrivacySettings, lambda given: _run(given, options), dict.fromkeys(_FAILURES, 1))


def _run(settings: PrivacySettings, options: argparse.Namespace) -> int:
    try:
        asyncio.run(_print(settings, options))
    except KeyboardInterrupt:
        return refuse(_PREFIX, 130, "interrupted; the same command may be given again")
    return 0


async def _print(settings: PrivacySettings, options: argparse.Namespace) -> None:
    async for line in options.command(settings, options):
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
