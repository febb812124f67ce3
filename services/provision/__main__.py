"""`python -m services.provision`: creates, grows, moves and restores the topics; creates the bucket."""

import argparse
import asyncio
import logging
import sys

from aiokafka.errors import KafkaError
from botocore.exceptions import BotoCoreError, ClientError

from services.common.archive.keys import ForeignObject
from services.common.entrypoint import refuse, run_command
from services.common.settings import KafkaSettings
from services.provision.command import command_parser
from services.provision.log_copy import CannotCopy
from services.provision.move import move_topics
from services.provision.restore import restore_topics
from services.provision.settings import ProvisionSettings
from services.provision.steps import HarmfulDifference, TopicsStep, ensure_bucket, grow_purchases
from services.provision.topics import CannotGrow
from services.provision.waiting import NotInTime

PROGRAM = "provision"


def main(arguments: list[str] | None = None) -> int:
    """Provision as the command line says; returns the exit status."""
    options = command_parser().parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the wait is reported in lines of our own
    expected = (
        HarmfulDifference,
        CannotGrow,
        CannotCopy,
        NotInTime,
        ForeignObject,
        KafkaError,
        BotoCoreError,
        ClientError,
    )
    return run_command(PROGRAM, ProvisionSettings, lambda settings: _run(options, settings), dict.fromkeys(expected, 1))


def _run(options: argparse.Namespace, settings: ProvisionSettings) -> int:
    try:
        asyncio.run(_provision(options, settings))
    except KeyboardInterrupt:
        return refuse(PROGRAM, 130, "interrupted; the same command may be given again")
    return 0


async def _provision(options: argparse.Namespace, settings: ProvisionSettings) -> None:
    if options.partitions is not None:
        await grow_purchases(settings, options.partitions, options.within, say)
        return
    if options.source is not None:
        await move_topics(settings, _source(options, settings), options.within, say)
        return
    if options.restore:
        await restore_topics(settings, options.within, say)
        return
    if settings.s3_create_bucket:
        say(await ensure_bucket(settings, options.within, say))
    for line in await TopicsStep(settings, apply=options.apply, say=say).run(options.within):
        say(line)


def _source(options: argparse.Namespace, settings: ProvisionSettings) -> KafkaSettings:
    """The cluster that topics are copied from."""
    security = options.source_security or settings.kafka_security
    return settings.model_copy(update={"kafka_bootstrap": options.source, "kafka_security": security})


def say(line: str) -> None:
    """One line of progress."""
    print(f"{PROGRAM}: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
