"""Recommendations over HTTP next to a hello-world: `python -m bench.serving [--rounds 3] [--seconds 5] [--overload 3]`.

One shop of random factors, one gateway and one recommender without Kafka, Redis and S3, and FastAPI's hello-world.
Servers run on the first core, the client on the second. Each round asks the hello-world and then the gateway, over so
many connections, each of which asks again once it has an answer. CPU of each process per answer is read from /proc,
less what it takes without requests.

--overload F then offers F times the answers a second that the gateway gave, in an open loop, and reports the latency of
what was answered, and the share of the capacity that good answers kept.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.machine import CpuMeter, machine, table
from bench.recommend import percentile
from bench.serving.load import Answers, run_closed, run_open
from bench.serving.processes import CLIENT_CORES, gateway_settings, process, wait_for
from local.ports import LOOPBACK, free_ports

CUSTOMERS = 100
_IDLE_S = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says."""
    options = _options(arguments)
    hello_port, gateway_port, recommender_port = free_ports(3)
    with ExitStack() as running:
        hello = running.enter_context(process(["bench.serving.hello", str(hello_port)]))
        shop = ["--port", str(recommender_port), "--users", str(options.users), "--items", str(options.items)]
        settings = {**gateway_settings(gateway_port), "recommender_address": f"{LOOPBACK}:{recommender_port}"}
        if options.way == "socket":
            socket = str(Path(running.enter_context(TemporaryDirectory())) / "recommender.sock")
            shop += ["--socket", socket]
            settings["recommender_socket"] = socket
        recommender = running.enter_context(process(["bench.serving.recommender", *shop]))
        gateway = running.enter_context(process(["services.gateway"], **settings))
        wait_for(f"http://{LOOPBACK}:{hello_port}/")
        wait_for(f"http://{LOOPBACK}:{gateway_port}/v1/users/nobody/recommendations", b'"popular"')
        _pin(options.cores)
        peers = {
            "hello-world": (hello_port, [_request("/")], {"hello-world": hello}),
            "recommendations": (gateway_port, _questions(options), {"gateway": gateway, "recommender": recommender}),
        }
        print(f"{options.items:,} products on {machine()}", flush=True)
        capacity = _rounds(peers, options)
        for factor in options.overload:
            _overload(gateway_port, factor * capacity, capacity, options)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description="Recommendations over HTTP.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--overload", type=float, nargs="*", default=[], metavar="F", help="times the capacity")
    parser.add_argument("--cores", choices=("apart", "shared"), default="apart", help="apart: the client has its own")
    parser.add_argument("--way", choices=("socket", "grpc"), default="socket", help="from gateway to recommender")
    parser.add_argument("--route", choices=("short", "fastapi"), default="short", help="through the gateway")
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=4_000)
    return parser.parse_args(arguments)


def _pin(cores: str) -> None:
    if cores == "apart":
        os.sched_setaffinity(0, CLIENT_CORES)


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def _questions(options: argparse.Namespace) -> list[bytes]:
    more = "&alike=false" if options.route == "fastapi" else ""  # a filter takes the route of FastAPI
    return [_request(f"/v1/users/15155{number:014d}/recommendations?k=3{more}") for number in range(CUSTOMERS)]


Peer = tuple[int, Sequence[bytes], Mapping[str, subprocess.Popen[bytes]]]


def _rounds(peers: Mapping[str, Peer], options: argparse.Namespace) -> float:
    """Print a row a round; the median of the gateway's answers a second."""
    rows: list[Sequence[str]] = [("round", "answers/s", "p50 ms", "p99 ms", "CPU µs an answer", "of hello-world")]
    rates: dict[str, list[float]] = {name: [] for name in peers}
    idle = {name: _idle_cores(processes) for name, (_port, _questions, processes) in peers.items()}
    for number in range(options.rounds):
        for name, (port, questions, processes) in peers.items():
            meter = CpuMeter({each: process.pid for each, process in processes.items()})
            answers = run_closed(port, questions, options.connections, options.seconds)
            meter.read()
            rates[name].append(answers.good_per_second)
            ratio = rates[name][-1] / rates["hello-world"][-1]
            rows.append((f"{number + 1} {name}", *_figures(answers), _cpu(meter, answers, idle[name]), f"{ratio:.2f}"))
    print(table(rows), flush=True)
    ratios = [ours / hello for ours, hello in zip(rates["recommendations"], rates["hello-world"], strict=True)]
    print(f"median ratio {median(ratios):.2f}", flush=True)
    return median(rates["recommendations"])


def _figures(answers: Answers) -> tuple[str, str, str]:
    p50, p99 = percentile(answers.good_s, 50), percentile(answers.good_s, 99)
    return f"{answers.good_per_second:,.0f}", f"{p50 * 1000:.1f}", f"{p99 * 1000:.1f}"


def _idle_cores(processes: Mapping[str, subprocess.Popen[bytes]]) -> dict[str, float]:
    meter = CpuMeter({name: process.pid for name, process in processes.items()})
    time.sleep(_IDLE_S)
    meter.read()
    return {name: used / _IDLE_S for name, used in meter.seconds.items()}


def _cpu(meter: CpuMeter, answers: Answers, idle: Mapping[str, float]) -> str:
    # The meter also sees the answers of the first fifth, which are not counted.
    counted, seconds = sum(answers.statuses.values()) * 1.2, answers.seconds * 1.2
    used = {name: (taken - idle[name] * seconds) / counted for name, taken in meter.seconds.items()}
    return ", ".join(f"{name} {each * 1e6:.0f}" for name, each in used.items())


def _overload(port: int, rate: float, capacity: float, options: argparse.Namespace) -> None:
    answers = run_open(port, _questions(options), 2_000, rate, options.seconds)
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(answers.statuses.items()))
    print(f"\n{rate:,.0f}/s offered for {options.seconds:g} s: {statuses}; {answers.unanswered:,} without an answer")
    rows = [("answers", "per second", "p50 ms", "p99 ms"), ("200", *_figures(answers))]
    if answers.other_s:
        p50, p99 = percentile(answers.other_s, 50), percentile(answers.other_s, 99)
        refused = len(answers.other_s) / answers.seconds
        rows.append(("others", f"{refused:,.0f}", f"{p50 * 1000:.1f}", f"{p99 * 1000:.1f}"))
    print(table(rows))
    print(f"goodput {answers.good_per_second / capacity:.2f} of the capacity", flush=True)


if __name__ == "__main__":
    sys.exit(main())
