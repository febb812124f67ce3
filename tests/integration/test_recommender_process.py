"""`python -m services.recommender` as a process: readiness, health, stopping, and errors in one line."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from local.ports import free_port
from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.recommender.server import LIVENESS
from services.recommender.service import SERVICE_NAME
from tests.support.models import VERSION, checkerboard, point_at, publish
from tests.support.polling import wait_until


def environment(s3: S3Settings, **settings: object) -> dict[str, str]:
    assert s3.s3_secret_key is not None
    values = {
        "S3_ENDPOINT": s3.s3_endpoint,
        "S3_BUCKET": s3.s3_bucket,
        "S3_ACCESS_KEY": s3.s3_access_key,
        "S3_SECRET_KEY": s3.s3_secret_key.get_secret_value(),
        "MODEL_POLL_S": 0.1,
        "KAFKA_BOOTSTRAP": "127.0.0.1:1",
    } | settings
    return dict(os.environ) | {f"TILLSTREAM_{name}": str(value) for name, value in values.items()}


@contextmanager
def recommender(s3: S3Settings) -> Iterator[tuple["subprocess.Popen[str]", int, int]]:
    """The process, its gRPC port and its telemetry port; killed at the end if it still runs."""
    port, metrics_port = free_port(), free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.recommender"],
        env=environment(s3, RECOMMENDER_PORT=port, METRICS_PORT=metrics_port),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, port, metrics_port
    finally:
        process.kill()
        process.communicate()


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, "{}"


def readiness(port: int) -> tuple[int, dict[str, Any]]:
    status, body = fetch(port, "/readyz")
    return status, json.loads(body)


def serving(channel: grpc.Channel, service: str = SERVICE_NAME) -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60, wait_for_ready=True)
    return int(answer.status)


def test_from_start_without_a_model_to_a_clean_stop(s3: S3Settings) -> None:
    store = ObjectStore(s3)
    with recommender(s3) as (process, port, metrics_port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert serving(channel) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert serving(channel, LIVENESS) == health_pb2.HealthCheckResponse.SERVING
        status, ready = readiness(metrics_port)
        assert (status, ready["ready"], ready["checks"]["model"]["detail"]) == (503, False, "not yet")
        assert fetch(metrics_port, "/healthz")[0] == 200

        publish(store, checkerboard())
        wait_until(lambda: readiness(metrics_port)[0] == 200, "ready")
        figures = readiness(metrics_port)[1]["figures"]
        assert (figures["model_version"], figures["model_users"], figures["model_items"]) == (VERSION, 8, 8)
        wait_until(lambda: serving(channel) == health_pb2.HealthCheckResponse.SERVING, "serving")
        stub = recommender_pb2_grpc.RecommenderStub(channel)
        assert stub.Recommend(pb.RecommendRequest(user_id="u00", k=1)).items[0].product_id == "p00"

        point_at(store, "20990101T000000Z-ffffff")
        wait_until(lambda: readiness(metrics_port)[1]["figures"]["model_refused"] is not None, "a refused model")
        status, ready = readiness(metrics_port)
        assert status == 200, "a refused model does not make the old one unready"
        assert ready["figures"]["model_refused"] == "refused 20990101T000000Z-ffffff: manifest.json is missing"
        assert serving(channel) == health_pb2.HealthCheckResponse.SERVING
        metrics = fetch(metrics_port, "/metrics")[1]
        assert f'tillstream_recommender_model_info{{variant="main",version="{VERSION}"}} 1.0' in metrics
        assert 'tillstream_recommender_request_seconds_count{code="OK",method="Recommend"} 1.0' in metrics
        assert 'tillstream_recommender_model_refusals_total{fault="missing_file"} 1.0' in metrics

        process.send_signal(signal.SIGTERM)
        _, logs = process.communicate(timeout=60)
        assert process.returncode == 0
        assert all(json.loads(line)["service"] == "recommender" for line in logs.splitlines())
    store.close()


@pytest.mark.parametrize("setting", ["RECOMMENDER_PORT", "METRICS_PORT"])
def test_a_port_in_use_is_one_line_that_names_it(s3: S3Settings, setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"RECOMMENDER_PORT": free_port(), "METRICS_PORT": free_port()} | {setting: port}
        ended = run(environment(s3, **ports))
    assert ended.returncode == 2
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith('{"time"')]  # but for the log
    assert line.startswith(f"recommender: port {port} on 127.0.0.1 is in use")
    assert line.endswith(f"TILLSTREAM_{setting}")


def test_a_wrong_setting_is_one_line_that_names_it(s3: S3Settings) -> None:
    ended = run(environment(s3, MODEL_POLL_S="often"))
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("recommender: TILLSTREAM_MODEL_POLL_S: ")


def run(env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.recommender"],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
