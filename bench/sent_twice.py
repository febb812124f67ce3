"""An import of single lines with UUIDs, sent twice: `python -m bench.sent_twice [--lines N]`.

Each line must count once, however many there are. Exit status 1 where one does not.
"""

import argparse
import asyncio
import sys
import time
import uuid
from collections.abc import Iterator

import msgspec
from aiokafka import AIOKafkaProducer

from bench.stacks import own_stack
from local.http import get_json
from local.settings import StackSettings
from local.steps import wait_settled
from services.common.kafka import producer_options

LINES = 100_001
_FLUSH_EVERY = 10_000


def main(arguments: list[str] | None = None) -> int:
    """Send, wait, compare; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.sent_twice", description="An import that is sent twice.")
    parser.add_argument("--lines", type=int, default=LINES, metavar="N", help=f"default: {LINES:,}")
    lines = parser.parse_args(arguments).lines
    with own_stack() as stack:
        begun = time.monotonic()
        for _ in range(2):
            asyncio.run(_send(stack.settings, lines))
        wait_settled(stack)
        counted = get_json(f"{stack.settings.page}/v1/stats/summary")["events"]
    print(f"{lines:,} lines sent twice: {counted:,} counted, in {time.monotonic() - begun:.0f} s")
    return int(counted != lines)


async def _send(settings: StackSettings, lines: int) -> None:
    async with AIOKafkaProducer(**producer_options(settings)) as producer:
        for number, value in enumerate(_events(lines), 1):
            await producer.send(settings.purchases_topic, value)
            if number % _FLUSH_EVERY == 0:
                await producer.flush()
        await producer.flush()


def _events(lines: int) -> Iterator[bytes]:
    for line in range(lines):
        yield msgspec.json.encode(
            {
                "event_id": str(uuid.UUID(int=line)),
                "event_time": "2020-04-24T11:50:39Z",
                "order_id": f"order-{line // 3}",
                "product_id": f"product-{line % 1000}",
                "price": "1.00",
            }
        )


if __name__ == "__main__":
    sys.exit(main())
