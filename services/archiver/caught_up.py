"""`python -m services.archiver.caught_up`: wait until what is in topic `purchases` now is in the archive.

For jobs that read the archive after a load. Exit status: 0 it is, 1 no progress for `--stalled-after` seconds,
2 wrong settings.
"""

import argparse
import asyncio
import logging
import sys
import time
from contextlib import AsyncExitStack

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.archiver.settings import ArchiverSettings
from services.common.entrypoint import run_command
from services.common.kafka import Offsets, behind, client_options, make_consumer, partitions_of, stop

PROGRAM = "caught-up"
_POLL_S = 1.0
_TIMEOUT_S = 10.0


class Stalled(Exception):
    """The archiver makes no progress."""


def main(arguments: list[str] | None = None) -> int:
    """Wait; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m services.archiver.caught_up",
        description="Wait until the records that are in topic purchases now are archived.",
    )
    parser.add_argument("--stalled-after", type=float, default=180.0, metavar="SECONDS", help="default: 180")
    options = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the wait is reported in lines of our own
    run = asyncio.run
    return run_command(PROGRAM, ArchiverSettings, lambda s: run(_wait(s, options.stalled_after)), {Stalled: 1})


async def _wait(settings: ArchiverSettings, stalled_after_s: float) -> int:
    """Ask once a second. Raises Stalled."""
    ends: Offsets | None = None
    left: int | None = None
    moved_at = time.monotonic()
    while left != 0:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                ends, now = await _ask(settings, ends)
        except (KafkaError, OSError, TimeoutError) as error:
            _say(f"waiting for Kafka: {error!r}")
        else:
            if now != left:
                left, moved_at = now, time.monotonic()
                _say(f"{left:,} of {sum(ends.values()):,} records are not archived yet" if left else "all is archived")
                continue
        if time.monotonic() - moved_at > stalled_after_s:
            raise Stalled(f"no progress for {stalled_after_s:g} s: is the archiver running?")
        await asyncio.sleep(_POLL_S)
    return 0


async def _ask(settings: ArchiverSettings, ends: Offsets | None) -> tuple[Offsets, int]:
    """The end offsets (those of the first call), and how many records before them are not archived."""
    async with AsyncExitStack() as stack:
        consumer = make_consumer(settings)
        stack.push_async_callback(stop, consumer)
        await consumer.start()
        admin = AIOKafkaAdminClient(**client_options(settings))
        stack.push_async_callback(admin.close)
        await admin.start()
        partitions = await partitions_of(consumer, settings.purchases_topic)
        begins: Offsets = await consumer.beginning_offsets(partitions)
        upto: Offsets = ends if ends is not None else await consumer.end_offsets(partitions)
        committed = await admin.list_consumer_group_offsets(settings.archive_group)
    return upto, behind({p: found.offset for p, found in committed.items()}, begins, upto)


def _say(line: str) -> None:
    print(f"{PROGRAM}: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
