"""`python -m services.producer FILE ...`: sends purchase files to Kafka.

`… inspect FILE` finds out how a file is read, `… join` makes one file of orders and their lines, `… convert FILE OUT`
writes a file's rows in the seed layout, `… changes` follows a database, `… products FILE` writes the shop's catalogue.

Exit status: 0 all rows acknowledged, 1 Kafka failed, 2 a mistake in file, options or settings,
3 stopped at a limit on dead letters (TILLSTREAM_DEAD_LETTERS_HALT),
130 or 143 interrupted (the checkpoint is written; the same command goes on).
"""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import msgspec

from services.common.dlq_limits import TooManyInvalidRecords
from services.common.entrypoint import run_service
from services.common.telemetry import Health, PortInUse, TelemetryServer
from services.producer import changes_command, convert_command, inspect_command, join_command, products_command
from services.producer.checkpoint import BadCheckpoint
from services.producer.command import Command, parse_command
from services.producer.kafka import KafkaUnavailable, TopicMissing
from services.producer.send import SendJob, Stopped, Summary, send_file
from services.producer.settings import ProducerSettings
from services.producer.source import BadFile

logger = logging.getLogger("services.producer")  # under `python -m`, __name__ is __main__

_INTERRUPTED = 128


def main() -> int:
    """Run the command line and answer the exit status."""
    commands = {
        "inspect": inspect_command.main,
        "join": join_command.main,
        "changes": changes_command.main,
        "convert": convert_command.main,
        "products": products_command.main,
    }
    for name, run in commands.items():
        if sys.argv[1:2] == [name]:
            return run(sys.argv[2:])
    command = parse_command(sys.argv[1:])
    statuses = {
        BadFile: 2,
        BadCheckpoint: 2,
        TopicMissing: 2,
        KafkaUnavailable: 1,
        TooManyInvalidRecords: 3,
    }
    return run_service("producer", ProducerSettings, lambda settings: _run(command, settings), statuses)


def _run(command: Command, settings: ProducerSettings) -> int:
    if settings.log_level != "DEBUG":
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own log reports its retries
    gc.freeze()
    gc.set_threshold(50_000)  # rows hold no cycles; the default looks for them every few hundred rows
    return asyncio.run(_send(command, settings))


async def _send(command: Command, settings: ProducerSettings) -> int:
    stop = asyncio.Event()
    caught: list[int] = []
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop_once, loop, number, caught, stop)
    health = Health("producer", checks=("kafka",))
    with _telemetry(settings, command.metrics_port, health):
        async for summary in _send_files(command, settings, health, stop):
            print(_as_json(summary) if command.json else _in_words(summary), flush=True)
    return _INTERRUPTED + caught[0] if caught else 0


async def _send_files(
    command: Command, settings: ProducerSettings, health: Health, stop: asyncio.Event
) -> AsyncIterator[Summary]:
    """Each file's summary, one after the other, until `stop` is set."""
    pace = command.rate()
    for path, source in zip(command.files, command.sources, strict=True):
        job = SendJob(path, source, command.row_range, pace, command.state, command.restart, command.mapping)
        try:
            summary = await send_file(job, settings, health, stop)
        except (KafkaUnavailable, Stopped):
            if stop.is_set():
                return
            raise
        yield summary
        if stop.is_set():
            return


def _stop_once(loop: asyncio.AbstractEventLoop, number: int, caught: list[int], stop: asyncio.Event) -> None:
    caught.append(number)
    stop.set()
    loop.remove_signal_handler(number)  # a second signal ends the process at once


@contextmanager
def _telemetry(settings: ProducerSettings, asked: int | None, health: Health) -> Iterator[None]:
    port = settings.metrics_port if asked is None else asked
    try:
        server = TelemetryServer(settings.host, port, health) if port else None
    except PortInUse as error:
        # Another producer may run at the same time; its rows matter more than their metrics.
        logger.warning("%s (or --metrics-port 0): this run goes on without telemetry", error)
        server = None
    if server is None:
        yield
        return
    with server:
        yield


def _in_words(summary: Summary) -> str:
    now = summary.next_row - summary.first_row
    dead = sum(summary.dead_letters.values())
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(summary.dead_letters.items()))
    total = f"{summary.rows:,} rows = {summary.sent:,} sent + {dead:,} dead letters{f' ({reasons})' if reasons else ''}"
    if not now:
        state = "nothing to do" if summary.finished else "stopped before the first row"
        return f"{summary.source}: {state} ({total} before; --restart sends them again)"
    this_run = f"rows {summary.first_row:,} to {summary.next_row - 1:,} in {summary.seconds:.1f} s"
    rate = f"{now / max(summary.seconds, 1e-3):,.0f} a second"
    rest = "" if summary.finished else f"; stopped, row {summary.next_row:,} is next"
    return f"{summary.source}: {total}; this run {this_run}, {rate}{rest}"


def _as_json(summary: Summary) -> str:
    return msgspec.json.encode(summary).decode()


if __name__ == "__main__":
    sys.exit(main())
