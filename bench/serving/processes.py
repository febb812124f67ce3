"""Programs of a benchmark as processes on the first core, and the gateway's settings without engines."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.request import urlopen

from local.ports import LOOPBACK

SERVER_CORES, CLIENT_CORES = {0}, {1}
_START_S = 180.0
# Nothing listens there: an engine that is away.
_AWAY = f"{LOOPBACK}:1"


@contextmanager
def process(module: Sequence[str], **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `python -m module` with these settings, until the block ends."""
    environment = {**os.environ, **{f"TILLSTREAM_{name.upper()}": value for name, value in settings.items()}}
    started = subprocess.Popen([sys.executable, "-m", *module], env=environment, stderr=subprocess.DEVNULL)
    os.sched_setaffinity(started.pid, SERVER_CORES)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(30)


def gateway_settings(port: int) -> dict[str, str]:
    """A gateway whose engines are all away."""
    return {
        "gateway_port": str(port),
        "recommender_address": _AWAY,
        "redis_url": f"redis://{_AWAY}/0",
        "kafka_bootstrap": _AWAY,
        "s3_endpoint": f"http://{_AWAY}",
        "s3_access_key": "key",
        "s3_secret_key": "secret",
        "requests_per_minute": "1000000000",
        "ticker_seconds": "1",  # a gateway without Redis tries to connect each time
    }


def wait_for(url: str, content: bytes = b"") -> None:
    """Wait for a good answer that has this content. Raises SystemExit where none comes."""
    ends = time.monotonic() + _START_S
    while True:
        try:
            with urlopen(url) as answer:
                if content in answer.read():
                    return
        except OSError:
            pass
        if time.monotonic() > ends:
            raise SystemExit(f"{url} does not answer as expected")
        time.sleep(0.2)
