"""The detached stack: `up`, `down`, `replay`, `train`, `reconcile`."""

import shlex
from contextlib import AbstractContextManager
from pathlib import Path

from local.console import say
from local.lag import Lag
from local.layout import Layout
from local.lockfile import exclusive
from local.mapping import mapping_for
from local.model import current_version
from local.producer_run import ProducerRun, demo_data
from local.settings import StackSettings
from local.signals import Stopped
from local.stack import PRODUCER, Stack, StackError
from local.steps import (
    ensure_page,
    lag_now,
    report_crashed_process,
    run_batch_job,
    send,
    train,
    wait_flowing,
    wait_gateway,
    wait_settled,
)


def detached_stack() -> Stack:
    """The stack of `make up`."""
    settings = StackSettings()
    return Stack(Layout(settings.state_dir), settings, die_with_parent=False)


def up(csv: Path | None, rate: str | None, mapping: Path | None = None) -> None:
    """Start what does not run. Then load the file and train a model or, with a rate, stream the file."""
    ensure_page()
    mapping = mapping_for(csv, mapping)
    stack = detached_stack()
    try:
        with _lock(stack):
            stack.start()
    except BaseException:
        stack.stop(stack.started)
        raise
    try:
        with report_crashed_process(stack):
            _feed(stack, csv, rate, mapping)
            wait_gateway(stack)
    except Stopped:
        stack.stop(stack.started)
        raise
    page = stack.settings.page
    say(f"page: {page}   API: {page}/docs   stop: make down")


def _feed(stack: Stack, csv: Path | None, rate: str | None, mapping: Path | None) -> None:
    before = lag_now(stack)
    if csv is None and before.records:
        say("the stack has data already: no file loaded")
    elif rate is not None:
        _stream(stack, ProducerRun(csv or demo_data(), rate, mapping=mapping), before)
        return
    else:
        send(stack, ProducerRun(csv or demo_data(), "max", mapping=mapping))
    after = wait_settled(stack)
    if not after.records:
        say("no purchases yet, so no model is trained")
    elif after.records > before.records or current_version(stack) is None:
        train(stack)


def _stream(stack: Stack, run: ProducerRun, before: Lag) -> None:
    running = stack.process(PRODUCER)
    if running and running.alive:
        raise StackError("a producer is streaming already: `make replay` sends one more file, `make down` stops it")
    log = stack.layout.log(PRODUCER)
    producer = stack.start_producer(run.program(stack.settings, stack.layout, stack.environment, log))
    say(f"streaming {run.file.name} at {run.rate}; the producer's log is {log}")
    wait_flowing(stack, producer, before)


def down() -> None:
    """Stop all processes of the stack; the data stays."""
    stack = detached_stack()
    with _lock(stack):
        stack.find(wherever=True)
        names = stack.running
        stack.stop()
    say(f"stopped {', '.join(names)}; the data stays in {stack.layout.root}" if names else "nothing runs")


def replay(csv: Path, rate: str, source: str | None, mapping: Path | None = None) -> None:
    """Send one more file to the running stack, and wait until it is applied and archived."""
    stack = detached_stack()
    stack.require_running()
    run = ProducerRun(csv, rate, source, mapping=mapping_for(csv, mapping))
    with report_crashed_process(stack):
        send(stack, run)
        wait_settled(stack)


def train_now() -> None:
    """Run the batch job on the archive."""
    stack = detached_stack()
    stack.require_running()
    with report_crashed_process(stack):
        train(stack)


def reconcile() -> None:
    """Compare the live figures with the archive. The result is printed, and the gateway shows it."""
    stack = detached_stack()
    stack.require_running()
    with report_crashed_process(stack):
        run_batch_job(stack, "reconcile")


def print_environment() -> None:
    """Print the addresses of the stack as `export` lines for a shell, with the keys of this machine's S3 server."""
    stack = detached_stack()
    for name, value in {**stack.environment, "TILLSTREAM_GATEWAY": stack.settings.page}.items():
        print(f"export {name}={shlex.quote(value)}")


def _lock(stack: Stack) -> AbstractContextManager[None]:
    return exclusive(stack.layout.run / "lock", "another `make up` or `make down` is running")
