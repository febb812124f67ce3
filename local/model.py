"""The active model: the pointer's version, and the version that the recommender serves."""

import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from local.console import Ticker
from local.http import readiness
from local.layout import REPOSITORY
from local.process import Program
from local.stack import Stack, StackError
from services.common.model_registry import read_pointer
from services.common.object_store import ObjectStore

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Served:
    """The version that the recommender serves, and why it refused another one."""

    version: str | None
    refused: str


def batch_job(stack: Stack, scratch: Path, *arguments: str) -> Program:
    """`python -m spark …`, its progress on our own output.

    It is stopped by SIGKILL: a published model is complete and an unpublished one is never read, while a graceful
    stop in mid-task makes Spark print pages of errors.
    """
    argv = [sys.executable, "-m", "spark", *arguments]
    environment = {**stack.environment, "TILLSTREAM_SPARK_DIR": str(scratch)}
    return Program("spark", argv, None, REPOSITORY, environment, grace_s=0)


def current_version(stack: Stack) -> str | None:
    """The version that the pointer names; None where there is no model yet."""
    with closing(ObjectStore(stack.s3)) as store:
        pointer, _etag = read_pointer(store)
    return pointer.version if pointer else None


def wait_served(stack: Stack, version: str) -> Served:
    """Wait until the recommender serves or refuses a version. Raises StackError after two minutes."""
    tick = Ticker()
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        served = _served(stack)
        if served.version == version or version in served.refused:
            return served
        if time.monotonic() > deadline:
            raise StackError(f"the recommender does not serve {version} after {TIMEOUT_S} s: see {_log(stack)}")
        stack.require_alive()
        tick(f"the recommender serves {served.version or 'no model yet'}")
        time.sleep(0.2)


def _served(stack: Stack) -> Served:
    figures = readiness(stack.service("recommender").health).figures
    return Served(figures.get("model_version"), figures.get("model_refused") or "")


def _log(stack: Stack) -> str:
    return str(stack.service("recommender").program.log)
