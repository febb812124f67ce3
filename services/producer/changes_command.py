"""`python -m services.producer changes`: orders as a database writes them, by Debezium."""

import argparse
import asyncio
import logging
import signal
from collections.abc import Sequence
from pathlib import Path

from aiokafka.errors import KafkaError

from services.common.entrypoint import run_service
from services.common.kafka import TopicMissing, require_topics
from services.producer.changes.corrections import Corrections
from services.producer.changes.follow import ChangesLost, Counts, Follower
from services.producer.layouts.mapping import read_mapping
from services.producer.settings import ProducerSettings
from services.producer.source import BadFile

_DESCRIPTION = """\
Follow a topic in which Debezium's PostgreSQL connector records the changes of a table of order lines, and write them to
topic `purchases`: rows as sales, changed and deleted rows as corrections. It goes on where it was stopped; what comes
again counts once. docs/debezium.md says how to set it up.

Exit status: 0 stopped or at the end, 1 Kafka failed (start it again), 2 a mistake in options, mapping or settings,
3 some records became dead letters.
"""
_UNREAD = 3


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m services.producer changes",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--topic", required=True, help="the table's topic, such as shop.public.order_lines")
    add("--mapping", required=True, type=Path, metavar="FILE", help="which of the table's columns are what")
    add("--group", default="tillstream-changes", help="the consumer group that keeps the position")
    add("--from-first", action="store_true", help="after a loss: go on with the first record that is there (once)")
    add("--until-end", action="store_true", help="stop when what is there now has been read")
    options = parser.parse_args(arguments)

    def run(settings: ProducerSettings) -> int:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # an outage is reported in a line of our own
        corrections = Corrections(read_mapping(options.mapping), settings.event_rules)
        follower = Follower(options.topic, options.group, corrections, settings, options.from_first)
        asyncio.run(_follow(follower, until_end=options.until_end))
        print(f"{options.topic}: {_in_words(follower.counts)}", flush=True)
        return _UNREAD if follower.counts.unread else 0

    statuses = {BadFile: 2, TopicMissing: 2, ChangesLost: 2, KafkaError: 1, OSError: 1}
    return run_service("changes", ProducerSettings, run, statuses)


async def _follow(follower: Follower, *, until_end: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await require_topics(follower.settings, [follower.settings.purchases_topic])
    await follower.run(stop, until_end=until_end)


def _in_words(counts: Counts) -> str:
    words = f"{counts.records:,} records read, {counts.events:,} events sent"
    if counts.unread:
        words += f", {counts.unread:,} of them dead letters"
    if counts.later_snapshots:
        words += f"; {counts.later_snapshots:,} rows of a later snapshot do not count (docs/debezium.md#after-a-loss)"
    return words
