"""`python -m services.archiver`: archives topic `purchases` to S3 until SIGTERM or SIGINT.

Exit status: 0 stopped, 1 the archive does not belong to this topic or Kafka rejected a request, 2 wrong settings
(including a port in use). A bucket or a topic that does not exist yet is waited for.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.archiver.s3_calls import S3Calls
from services.archiver.segments import SegmentChains
from services.archiver.service import Archiver
from services.archiver.settings import ArchiverSettings
from services.archiver.start import LogMismatch
from services.common.archive.keys import ForeignObject
from services.common.entrypoint import run_service
from services.common.eventloop_lag import watched_loop
from services.common.kafka import WaitLog, client_options, make_consumer, require_topics, until_reachable
from services.common.object_store import ObjectStore
from services.common.telemetry import Health, TelemetryServer

logger = logging.getLogger("services.archiver")  # under `python -m`, __name__ is __main__

_FLUSH_S = 6.0  # with _LEAVE_GROUP_S within the ten seconds that a stopped service may take
_LEAVE_GROUP_S = 2.0
_HEARTBEATS_A_SESSION = 5
_BUCKET_ASKED_EVERY_S = 2.0

Started = TypeVar("Started", AIOKafkaConsumer, AIOKafkaAdminClient)


def main() -> int:
    """Run the service; returns the exit status."""
    statuses = {LogMismatch: 1, ForeignObject: 1, KafkaError: 1}
    return run_service("archiver", ArchiverSettings, _run, statuses)


def _run(settings: ArchiverSettings) -> int:
    logging.getLogger("aiokafka").setLevel(max(logging.WARNING, logging.getLogger().level))
    return asyncio.run(_serve(settings))


async def _serve(settings: ArchiverSettings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    health = Health("archiver", checks=("kafka", "s3"))
    async with AsyncExitStack() as stack:
        stack.enter_context(TelemetryServer(settings.host, settings.metrics_port, health))
        await stack.enter_async_context(watched_loop(health))
        start = asyncio.create_task(_start(settings, health, stack))
        if await _completed_before(stop, start):
            archiver = start.result()
            await archiver.run(stop)
            health.drain()
            await archiver.flush(_FLUSH_S)
    return 0


async def _start(settings: ArchiverSettings, health: Health, stack: AsyncExitStack) -> Archiver:
    """The archiver with its clients, once bucket and topic are there; the stack closes the clients."""
    store = ObjectStore(settings)
    s3 = S3Calls(health)
    stack.callback(s3.close)
    await _wait_for_bucket(store, s3, health)
    wait_log = WaitLog(lambda reason: health.set("kafka", False, reason))
    await until_reachable(lambda: require_topics(settings, [settings.purchases_topic]), wait_log)
    admin = await _start_client(lambda: AIOKafkaAdminClient(**client_options(settings)), health)
    stack.push_async_callback(admin.close)
    consumer = await _start_client(lambda: _consumer(settings), health)
    stack.push_async_callback(_leave_group, consumer)
    return Archiver(settings, consumer, admin, SegmentChains(store), s3=s3, health=health)


async def _wait_for_bucket(store: ObjectStore, s3: S3Calls, health: Health) -> None:
    logged = False
    while not await s3(store.exists):
        reason = f"bucket {store.bucket} does not exist yet: `python -m services.provision` creates it"
        health.set("s3", False, reason)
        if not logged:
            logged = True
            logger.warning("waiting: %s", reason)
        await asyncio.sleep(_BUCKET_ASKED_EVERY_S)


def _consumer(settings: ArchiverSettings) -> AIOKafkaConsumer:
    return make_consumer(
        settings,
        group_id=settings.archive_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(settings.archive_session_timeout_s * 1000),
        heartbeat_interval_ms=int(settings.archive_session_timeout_s * 1000 / _HEARTBEATS_A_SESSION),
        # Nothing is fetched while S3 is unavailable; that must not end the membership. /healthz watches the loop.
        max_poll_interval_ms=24 * 3600 * 1000,
    )


async def _start_client(create: Callable[[], Started], health: Health) -> Started:
    """A started client, however long Kafka is unavailable."""

    async def start() -> Started:
        client = create()
        try:
            await client.start()
        except (KafkaError, OSError):
            await (client.stop() if isinstance(client, AIOKafkaConsumer) else client.close())
            raise
        return client

    return await until_reachable(start, WaitLog(lambda reason: health.set("kafka", False, reason)))


async def _leave_group(consumer: AIOKafkaConsumer) -> None:
    with suppress(KafkaError, TimeoutError):
        await asyncio.wait_for(consumer.stop(), _LEAVE_GROUP_S)


async def _completed_before(stop: asyncio.Event, work: "asyncio.Task[Archiver]") -> bool:
    """Wait for the work; False, with the work cancelled, where `stop` came first."""
    stopper = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopper}, return_when=asyncio.FIRST_COMPLETED)
    stopper.cancel()
    if work.done():
        return True
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    return False


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stderr.flush()
    # A call to S3 that hangs in its thread would hold the interpreter for minutes.
    os._exit(status)
