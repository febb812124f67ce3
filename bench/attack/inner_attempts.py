"""Attempts past the gateway, as another user or a web page of the machine: engines, gRPC, telemetry, files."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import redis
from aiokafka import AIOKafkaProducer
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from bench.attack.outcome import Attempts, Outcome
from bench.attack.shop import PATIENCE_S, Shop, connect, ending, exchange, request, statuses
from bench.processes import Tree
from local.ports import LOOPBACK
from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common.kafka import client_options

_MIB = 1024 * 1024
_FORM = b"SET tillstream:live forged\r\nFLUSHALL\r\n"


def redis_port(shop: Shop) -> Outcome:
    """Commands without the password, and a web page's form that carries commands."""
    try:
        with redis.Redis.from_url(shop.valkey.address) as client:
            client.ping()
        return Outcome(False, "answers without a password")
    except redis.AuthenticationError:
        pass
    exchange(shop.valkey.port, request("POST", "/", "Content-Length: 40", body=_FORM))
    with redis.Redis.from_url(shop.valkey.url) as client:
        kept = client.dbsize() > 0 and client.get("tillstream:live") != b"forged"
    return Outcome(kept, "NOAUTH; a form's commands change nothing")


def kafka_port(shop: Shop) -> Outcome:
    """A web page's request. Whoever can run programs here gets in: ADR 144."""
    sent = request("POST", "/", "Content-Length: 4", body=b"\0\0\0\1")
    answer, closed = ending(shop.stack.settings.kafka_port, sent)
    end = "the connection is closed" if closed else f"the connection stays open for {PATIENCE_S:.0f} s"
    return Outcome(closed and not answer, f"an HTTP request is no message: {len(answer)} bytes come back, {end}")


def store_ports(shop: Shop) -> Outcome:
    """S3 without keys, and the parts behind it, at every port that the program listens on."""
    process = shop.stack.process("s3")
    assert process is not None
    bucket = shop.stack.settings.s3_bucket
    ports = _listening(Tree(process.identity.pid).pids())
    opened = []
    for port in sorted(ports - {shop.stack.settings.s3_metrics_port}):
        for method, path in (
            ("GET", f"/{bucket}?list-type=2"),
            ("GET", f"/buckets/{bucket}/?pretty=y"),
            ("GET", f"/col/delete?collection={bucket}"),
            ("GET", "/dir/assign"),
            ("PUT", f"/buckets/{bucket}/models/als/current.json"),
            ("DELETE", f"/buckets/{bucket}?recursive=true"),
        ):
            found = statuses(exchange(port, request(method, path, "Origin: https://evil.example")))
            if any(status < 300 for status in found):
                opened.append(f"{method} {path}")
    return Outcome(not opened, f"{len(ports)} ports refuse all" if not opened else f"answered: {opened}")


def _listening(pids: list[int]) -> set[int]:
    """TCP ports of the processes. Linux only."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            name = str(descriptor.readlink())
            if name.startswith("socket:["):
                inodes.add(name[8:-1])
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A" and fields[9] in inodes}


def grpc_port(shop: Shop) -> Outcome:
    """Reflection, a message of 64 MiB, names beyond their limit, and more calls than there are places."""
    with grpc.insecure_channel(f"{LOOPBACK}:{shop.stack.settings.recommender_port}") as channel:
        stub = recommender_pb2_grpc.RecommenderStub(channel)
        usual = _ask(stub)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        listed = _code(
            lambda: next(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked])))
        )
        large = _code(lambda: stub.Recommend(pb.RecommendRequest(user_id="x" * 64 * _MIB, k=3), timeout=30))
        many = _code(lambda: stub.Recommend(pb.RecommendRequest(user_id="x", k=2**31 - 1), timeout=30))
        calls = [stub.Recommend.future(pb.RecommendRequest(user_id="x", k=3), timeout=30) for _ in range(3_000)]
        turned_away = sum(call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED for call in calls)
        after = _ask(stub)
    held = (listed, large, many, after) == ("UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", usual)
    calls_said = f"of 3,000 calls {turned_away} turned away, then {after} as before"
    return Outcome(held, f"reflection {listed}, 64 MiB {large}, k of 2^31 {many}; {calls_said}")


def _ask(stub: Any) -> str:
    return _code(lambda: stub.Recommend(pb.RecommendRequest(user_id="x", k=3), timeout=30))


def _code(call: object) -> str:
    assert callable(call)
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def telemetry_ports(shop: Shop) -> Outcome:
    """Connections that send nothing, more than a server of threads should hold."""
    port = shop.stack.settings.aggregator_metrics_port
    silent = [connect(port) for _ in range(300)]
    try:
        answered = httpx.get(f"http://{LOOPBACK}:{port}/healthz", timeout=20).status_code
        process = shop.stack.process("aggregator")
        assert process is not None
        threads = len([*Path(f"/proc/{process.identity.pid}/task").iterdir()])
    finally:
        for each in silent:
            each.close()
    return Outcome(answered == 200 and threads < 150, f"/healthz {answered} next to 300 silent ones, {threads} threads")


def secrets_at_rest(shop: Shop) -> Outcome:
    """Arguments of all processes, logs, and the modes of files."""
    root = shop.stack.layout.root
    keys = json.loads((root / "s3" / "identities.json").read_text())["identities"][0]["credentials"][0]
    secrets = [str(shop.valkey.password), keys["secretKey"], *shop.keys.values()]
    arguments = "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in Tree(os.getpid()).pids())
    logs = "".join(path.read_text(errors="replace") for path in (root / "logs").iterdir())
    leaks = sum(secret in text for secret in secrets for text in (arguments, logs))
    private = stat.S_IMODE(root.stat().st_mode) == 0o700
    return Outcome(not leaks and private, f"{len(secrets)} secrets: {leaks} in arguments or logs; state folder 0700")


def dead_letters(shop: Shop) -> Outcome:
    """A payload that would clear the operator's screen and retitle the terminal."""
    asyncio.run(_send(shop, b'{"order_id": "\x1b[2J\x1b]0;owned\x07\xc2\x9b31m"}'))
    deadline = time.monotonic() + PATIENCE_S
    while not (printed := _listed(shop)) and time.monotonic() < deadline:
        time.sleep(0.5)
    obeyed = [each for each in printed if not each.isprintable() and each not in "\n\t"]
    return Outcome(bool(printed) and not obeyed, f"{len(printed.splitlines())} lines, {len(obeyed)} control characters")


async def _send(shop: Shop, payload: bytes) -> None:
    settings = shop.stack.settings
    async with AIOKafkaProducer(**client_options(settings)) as producer:
        await producer.send_and_wait(settings.purchases_topic, payload)


def _listed(shop: Shop) -> str:
    command = [sys.executable, "-m", "services.deadletters", "list"]
    environment = {**os.environ, **shop.stack.environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


INNER_ATTEMPTS: Attempts = {
    "Redis's port": redis_port,
    "Kafka's port, from a web page": kafka_port,
    "S3 and the ports behind it": store_ports,
    "the recommender's port": grpc_port,
    "silent connections to a telemetry port": telemetry_ports,
    "secrets in arguments, logs and files": secrets_at_rest,
    "dead letters in the operator's terminal": dead_letters,
}
