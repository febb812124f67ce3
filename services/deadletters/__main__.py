"""`python -m services.deadletters list|orders|show|stats|repair|replay`: inspect, repair and replay dead letters.

Exit status: 0 done; 1 nothing found, something still invalid, or Kafka unavailable; 2 a mistake in options, files or
settings.
"""

import argparse
import asyncio
import logging
import sys

from aiokafka.errors import KafkaError

from services.common.entrypoint import refuse, run_command
from services.deadletters.command import parse_command
from services.deadletters.commands import COMMANDS, PROGRAM
from services.deadletters.repair import BadRepairs
from services.deadletters.settings import DeadLettersSettings
from services.deadletters.topic import DeadLetterTopicMissing


def main() -> int:
    """Run the command line and answer the exit status."""
    options = parse_command(sys.argv[1:])
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # we report failures ourselves
    statuses = {BadRepairs: 2, DeadLetterTopicMissing: 2, OSError: 2}
    return run_command(PROGRAM, DeadLettersSettings, lambda settings: _run(options, settings), statuses)


def _run(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    try:
        return asyncio.run(COMMANDS[options.command](options, settings))
    except KafkaError as error:
        return refuse(PROGRAM, 1, f"Kafka at {settings.kafka_bootstrap} does not answer: {error!r}")
    except KeyboardInterrupt:
        return refuse(PROGRAM, 130, "interrupted; the same command may be given again")


if __name__ == "__main__":
    sys.exit(main())
