"""Open pages on one gateway: `python -m bench.open_pages [--clients 5000] [--seconds 20]`.

A gateway and Valkey with a small shop's figures, without Kafka, S3 and a recommender; the clients hold the live stream
open and parse nothing. The gateway runs on the first core, everything else on the second. It reports the gateway's CPU,
and for all clients together the time from one snapshot to the next, which the gateway sends once a second.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from bench.machine import CpuMeter, machine, table
from bench.serving.processes import CLIENT_CORES, gateway_settings, process, wait_for
from local.engines.valkey import ValkeyEngine
from local.ports import LOOPBACK, free_ports
from services.common.tables import shard_keys

_ENTRIES = 12
_OPENED_PER_SECOND = 100


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; 1 where a client lost its stream."""
    options = _options(arguments)
    gateway_port, valkey_port = free_ports(2)
    with ExitStack() as running:
        os.sched_setaffinity(0, CLIENT_CORES)
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        valkey = ValkeyEngine(folder / "valkey", folder / "valkey.log", valkey_port, durable=False)
        valkey.start()
        running.callback(valkey.stop)
        valkey.wait_ready()
        fill(valkey.address)
        limits = {"stream_clients": options.clients + 10, "max_connections": options.clients + 100}
        settings = {**gateway_settings(gateway_port), **{name: str(limit) for name, limit in limits.items()}}
        gateway = running.enter_context(process(["services.gateway"], **{**settings, "redis_url": valkey.address}))
        wait_for(f"http://{LOOPBACK}:{gateway_port}/readyz")
        with _clients(gateway_port, options.clients) as clients:
            time.sleep(options.clients / _OPENED_PER_SECOND + 10)  # all are open and have settled
            meter = CpuMeter({"gateway": gateway.pid})
            time.sleep(options.seconds)
            meter.read()
            clients.send_signal(signal.SIGTERM)
            seen = json.loads(clients.communicate(timeout=60)[0])
    print(f"{options.clients:,} open pages for {options.seconds:g} s on {machine()}")
    print(render(seen, meter.seconds["gateway"] / options.seconds))
    return 1 if seen["lost"] else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.open_pages", description="Cost of open pages.")
    parser.add_argument("--clients", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=20)
    return parser.parse_args(arguments)


@contextmanager
def _clients(port: int, count: int) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "bench.soak.sse_clients", "--port", str(port), "--clients", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as clients:
        try:
            yield clients
        finally:
            clients.terminate()


def fill(url: str) -> None:
    """Write figures with full top lists, so that a snapshot is as large as a shop's."""
    (keys,) = shard_keys(1)
    entries = [f"15159{number:014d}" for number in range(_ENTRIES)]
    facts = json.dumps({"product_name": "a name of a usual length", "category_code": "a.b.c", "brand": "brand",
                        "price": 1_000, "event_time": 1_600_000_000_000})  # fmt: skip
    with redis.Redis.from_url(url) as client, client.pipeline() as pipe:
        names = ("revenue", "quantity", "orders", "buyers", "events")
        pipe.hset(keys("totals"), mapping=dict.fromkeys(names, 10**6))
        for place, entry in enumerate(entries):
            figures = f"{10**6 - place} 10 10"
            pipe.zadd(keys("spenders"), {entry: place - 10**6})
            pipe.hset(keys(f"user:{entry}"), "total", figures)
            pipe.zadd(keys("products"), {entry: place - 10**6})
            pipe.hset(keys(f"product:{entry}"), mapping={"total": figures, "facts": facts})
            pipe.hset(keys("categories"), f"electronics.category{place}", figures)
            pipe.hset(keys("brands"), f"brand{place}", figures)
        pipe.execute()


def render(seen: Mapping[str, Any], cores: float) -> str:
    """The table."""
    return table(
        [
            ("what", "figure"),
            ("gateway, of a core", f"{cores:.0%}"),
            ("time between snapshots, p50", f"{seen['gap_p50_s']:.2f} s"),
            ("time between snapshots, p99", f"{seen['gap_p99_s']:.2f} s"),
            ("time between snapshots, longest", f"{seen['gap_longest_s']:.2f} s"),
            ("snapshots received", f"{seen['snapshots']:,}"),
            ("clients that lost the stream", f"{sum(seen['lost'].values()):,}"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
