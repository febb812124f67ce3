"""Steps that the commands share: send, train, wait."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from aiokafka.errors import KafkaError
from botocore.exceptions import BotoCoreError, ClientError
from redis.exceptions import RedisError

from local import prerequisites
from local.console import Ticker, say
from local.http import NoAnswer, get_json, readiness
from local.lag import Lag, LagProbe, lag_probe
from local.layout import REPOSITORY
from local.model import batch_job, current_version, wait_served
from local.process import Process, Program, spawn, stop_together
from local.producer_run import ProducerRun
from local.stack import Stack, StackError
from services.common.categories import UNKNOWN
from services.common.kafka import Offsets

STALL_S = 180
_POLL_S = 0.3
_UNKNOWN = (None, "", UNKNOWN)


@contextmanager
def report_crashed_process(stack: Stack) -> Iterator[None]:
    """Report the process that died instead of the error that its death caused."""
    try:
        yield
    except (KafkaError, RedisError, BotoCoreError, ClientError, NoAnswer, StackError, OSError):
        time.sleep(_POLL_S)  # a client may fail before the death of the process can be seen
        stack.require_alive()
        raise


def ensure_page() -> None:
    """Build the web page if it is missing."""
    if (REPOSITORY / "web" / "dist" / "index.html").exists():
        return
    prerequisites.node()
    say("building the web page, once")
    if subprocess.run(["make", "web"], cwd=REPOSITORY, check=False).returncode:
        raise StackError("the web page could not be built: see above")


def send(stack: Stack, run: ProducerRun) -> None:
    """Run the producer to its end in the foreground."""
    run_in_foreground(stack, run.program(stack.settings, stack.layout, stack.environment, log=None))


def train(stack: Stack) -> None:
    """Run the batch job, and wait until the recommender serves or refuses its model."""
    before = current_version(stack)
    run_batch_job(stack, "run")
    version = current_version(stack)
    if version is None or version == before:
        return  # the job's last line says why there is no new model
    served = wait_served(stack, version)
    if served.version == version:
        say(f"the recommender serves model {version}")
    else:
        say(f"the recommender has {served.refused}; it serves {served.version or 'popular products'}")


def run_batch_job(stack: Stack, *arguments: str) -> None:
    """Run a command of the batch job in the foreground. Raises StackError, ProcessDied."""
    stack.layout.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spark-", dir=stack.layout.root) as scratch:
        run_in_foreground(stack, batch_job(stack, Path(scratch), *arguments))


def run_in_foreground(stack: Stack, program: Program) -> None:
    """Run a program to its end in the foreground. Raises ProcessDied if a process of the stack dies, StackError."""
    child = spawn(program, die_with_parent=True)
    try:
        while child.alive:
            stack.require_alive()
            time.sleep(_POLL_S)
    finally:
        stop_together([child])
    if child.exit_code:
        raise StackError(f"{program.name} failed with exit status {child.exit_code}")


def lag_now(stack: Stack) -> Lag:
    """Lag of the aggregator and the archiver now."""

    async def ask() -> Lag:
        async with lag_probe(stack.settings) as probe:
            return await probe.ask()

    return asyncio.run(ask())


def wait_settled(stack: Stack) -> Lag:
    """Wait until all records that are in the topics now are applied and archived.

    Raises StackError after `STALL_S` without progress.
    """
    say("waiting until every record is applied and archived")
    lag = asyncio.run(_settled(stack))
    say(f"  {lag}")
    return lag


async def _settled(stack: Stack) -> Lag:
    async with lag_probe(stack.settings) as probe:
        first = await probe.ends()
        await _reached(stack, probe, first)
        # Applying them may have produced dead letters, which count too. Purchases that arrived since are not awaited.
        purchases = {p: end for p, end in first.items() if p.topic == stack.settings.purchases_topic}
        return await _reached(stack, probe, {**await probe.ends(), **purchases})


async def _reached(stack: Stack, probe: LagProbe, ends: Offsets) -> Lag:
    tick = Ticker()
    lag, moved_at = await probe.lag(ends), time.monotonic()
    while not lag.settled:
        stack.require_alive()
        tick(str(lag))
        await asyncio.sleep(_POLL_S)
        before, lag = lag, await probe.lag(ends)
        moved_at = moved_at if lag == before else time.monotonic()
        if time.monotonic() - moved_at > STALL_S:
            raise StackError(f"no progress for {STALL_S} s: {lag}; see `make status`")
    return lag


def wait_flowing(stack: Stack, producer: Process, before: Lag) -> None:
    """Wait until the first streamed purchases are applied, or the producer has ended. Raises ProcessDied."""

    async def wait() -> None:
        async with lag_probe(stack.settings) as probe:
            while producer.alive and not _flowed(before, await probe.ask()):
                stack.require_alive()
                await asyncio.sleep(_POLL_S)

    asyncio.run(wait())
    stack.require_alive()


def _flowed(before: Lag, now: Lag) -> bool:
    return now.records - now.unapplied > before.records - before.unapplied


def wait_gateway(stack: Stack) -> None:
    """Wait until the gateway serves figures and reports the model that the recommender serves."""
    deadline = time.monotonic() + STALL_S
    while not (verdict := readiness(stack.service("gateway").health)).ready or not _knows_model(stack):
        stack.require_alive()
        if time.monotonic() > deadline:
            raise StackError(f"the gateway is not ready: {verdict.failing}")
        time.sleep(_POLL_S)


def _knows_model(stack: Stack) -> bool:
    served = readiness(stack.service("recommender").health).figures.get("model_version")
    return bool(get_json(f"{stack.settings.page}/v1/stats/summary")["model_version"] == served)


def first_recommendation(stack: Stack) -> None:
    """Request the top three products of the biggest spender from the gateway, and print them."""
    page = stack.settings.page
    users = get_json(f"{page}/v1/users?limit=1")
    if not users:
        say("no purchase has a customer id yet: no recommendation to show")
        return
    answer = get_json(f"{page}/v1/users/{quote(users[0], safe='')}/recommendations?k=3")
    products = ", ".join(map(_in_words, answer["items"]))
    say(f"recommended to customer {users[0]}: {products or 'nothing'} ({answer['strategy']})")


def _in_words(item: dict[str, str | None]) -> str:
    """The product's name, else what is known of it, else its id."""
    name, brand, category = (item[field] for field in ("product_name", "brand", "category_code"))
    known = [word for word in ((name,) if name not in _UNKNOWN else (brand, category)) if word not in _UNKNOWN]
    return " ".join(map(str, known)) or str(item["product_id"])
