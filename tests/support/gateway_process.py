"""The gateway as a process, with every engine away unless given."""

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.ports import free_port
from tests.support.gateway_app import AWAY
from tests.support.http import NO_TLS, status_of
from tests.support.polling import wait_until

ROOT = Path(__file__).parents[2]


def environment(**settings: str | float) -> dict[str, str]:
    """The process environment with these settings."""
    away: dict[str, str | float] = {
        "redis_url": f"redis://{AWAY}/0",
        "kafka_bootstrap": AWAY,
        "recommender_address": AWAY,
        "s3_endpoint": f"http://{AWAY}",
        "s3_access_key": "key",
        "s3_secret_key": "secret",
    }
    return {**os.environ, **{f"TILLSTREAM_{name.upper()}": str(value) for name, value in (away | settings).items()}}


@contextmanager
def gateway_process(log: Path, trust: ssl.SSLContext | None = None, /, **settings: str | float) -> Iterator[int]:
    """Run a gateway that answers; gives its port, the one of `gateway_port` where given. `trust`: it speaks HTTPS."""
    port = int(settings.pop("gateway_port", None) or free_port())
    command = [sys.executable, "-m", "services.gateway"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(gateway_port=port, **settings), stdout=output, stderr=output
        )
    try:
        _wait_alive(process, port, log, trust)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_alive(process: subprocess.Popen[bytes], port: int, log: Path, trust: ssl.SSLContext | None) -> None:
    url = f"{'https' if trust else 'http'}://127.0.0.1:{port}/healthz"

    def alive() -> bool:
        assert process.poll() is None, log.read_text()
        return status_of(url, trust or NO_TLS) == 200

    wait_until(alive, "the gateway answers")
