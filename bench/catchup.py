"""How long the recommender needs after a restart: `python -m bench.catchup [--csv FILE] [--rows N] [--history N]`.

It starts its own stack on free ports, loads the first `--history` rows and trains a model on them. Then it stops the
recommender, sends the other rows and starts the recommender again. It measures the time from the start of the process
to the first answer (a model serves, caught up or not) and until it has caught up. Meanwhile it sends ten requests a
second and reports the slowest.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from bench.machine import CpuMeter, machine, table
from bench.recommend import percentile
from bench.stacks import own_stack
from local.http import readiness
from local.ports import LOOPBACK
from local.process import Process, spawn, stop_together
from local.producer_run import ProducerRun, demo_data
from local.stack import Stack
from local.steps import lag_now, send, train, wait_settled
from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc

POLL_S = 0.1
CAUGHT_UP_MS = 1000
GIVE_UP_S = 1800


@dataclass(slots=True)
class CatchUpResult:
    """Seconds since the process was started, and the answers meanwhile."""

    first_answer_s: float = 0.0
    caught_up_s: float = 0.0
    latencies: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    resident_mb: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    options = _options(arguments)
    file: Path = options.csv or demo_data()
    with own_stack() as stack:
        send(stack, ProducerRun(file, "max", "catchup-history", f":{options.history + 1}"))
        wait_settled(stack)
        train(stack)
        before = lag_now(stack).records
        stack.stop(["recommender"])
        first, end = options.history + 1, options.history + 1 + options.rows if options.rows else ""
        send(stack, ProducerRun(file, "max", "catchup-behind", f"{first}:{end}"))
        behind = lag_now(stack).records - before
        result = asyncio.run(measure(stack))
    print(f"\nThe recommender after a restart with {behind:,} records behind: {file.name} on {machine()}")
    print(_table(result, behind))
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.catchup", description="Seconds to catch up with the stream.")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="purchases in the seed layout (default: the grocery set)"
    )
    parser.add_argument("--rows", type=int, metavar="N", help="rows of lag (default: all others)")
    parser.add_argument("--history", type=int, metavar="N", default=100_000, help="rows to train the model on")
    return parser.parse_args(arguments)


async def measure(stack: Stack) -> CatchUpResult:
    """Start the recommender and wait until it knows everything."""
    result, begun = CatchUpResult(), time.monotonic()
    recommender = spawn(stack.service("recommender").program, die_with_parent=True)
    meter = CpuMeter({"recommender": recommender.identity.pid})
    try:
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{stack.settings.recommender_port}") as channel:
            client = recommender_pb2_grpc.RecommenderStub(channel)
            while not await _caught_up(client, result, begun):
                recommender.require_alive()
                if time.monotonic() - begun > GIVE_UP_S:
                    raise SystemExit(
                        f"not caught up after {GIVE_UP_S} s: {readiness(stack.service('recommender').health)}"
                    )
                await asyncio.sleep(POLL_S)
        result.caught_up_s = time.monotonic() - begun
        meter.read()
        result.cpu_s, result.resident_mb = meter.seconds["recommender"], _resident_mb(recommender)
    finally:
        stop_together([recommender])
    return result


async def _caught_up(client: "recommender_pb2_grpc.RecommenderAsyncStub", result: CatchUpResult, begun: float) -> bool:
    """Ask once; whether the answer is of a state that is up to date."""
    asked = time.perf_counter()
    try:
        request = pb.RecommendRequest(user_id="nobody-in-particular", k=3)
        answer = await client.Recommend(request, timeout=10)
    except grpc.aio.AioRpcError:
        return False
    result.first_answer_s = result.first_answer_s or time.monotonic() - begun
    result.latencies.append(time.perf_counter() - asked)
    return answer.HasField("state_age_ms") and answer.state_age_ms <= CAUGHT_UP_MS


def _resident_mb(process: Process) -> float:
    status = Path(f"/proc/{process.identity.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def _table(result: CatchUpResult, behind: int) -> str:
    rows = [
        ("what", "value"),
        ("first answer", f"{result.first_answer_s:.1f} s"),
        ("caught up", f"{result.caught_up_s:.1f} s"),
        ("records a second, start of the process included", f"{behind / result.caught_up_s:,.0f}"),
        ("CPU of the process", f"{result.cpu_s:.1f} s"),
        ("memory of the process", f"{result.resident_mb:.0f} MB"),
        ("answers meanwhile", f"{len(result.latencies):,}"),
        ("slowest of them", f"{percentile(result.latencies, 100) * 1000:.0f} ms"),
    ]
    return table(rows)


if __name__ == "__main__":
    sys.exit(main())
