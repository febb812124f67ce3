"""`demo`: the whole stack from a fresh state of its own, in the foreground."""

import time
from pathlib import Path

from local.console import say
from local.layout import Layout
from local.lockfile import exclusive
from local.mapping import mapping_for
from local.producer_run import ProducerRun, demo_data
from local.settings import StackSettings
from local.signals import Stopped
from local.stack import PRODUCER, Stack
from local.steps import (
    ensure_page,
    first_recommendation,
    report_crashed_process,
    send,
    train,
    wait_gateway,
    wait_settled,
)

HISTORY = ":90%"
REST = "90%:"
RATE = "50"
PREFERENCES = {
    # Else the demo would wait a minute for the last small object of the history to close.
    "TILLSTREAM_ARCHIVE_OBJECT_AGE_S": "10",
    # Good weights take few candidates; the best ones are not worth the wait in a demo.
    "TILLSTREAM_SEARCH_CANDIDATES": "108",
    "TILLSTREAM_EVALUATION_LINES": "400000",
    "TILLSTREAM_SEARCH_QUESTIONS": "500",
    "TILLSTREAM_GATE_QUESTIONS_ASKED": "1500",
}
_POLL_S = 0.3


def demo(csv: Path | None, rate: str, mapping: Path | None = None) -> None:
    """Run until Ctrl-C. Raises ProcessDied when a process dies. Stops all processes either way."""
    settings = StackSettings()
    mapping = mapping_for(csv, mapping)
    with exclusive(settings.state_dir / "demo.lock", "another `make demo` is running"):
        layout = Layout(settings.state_dir / "demo")
        stack = Stack(layout, settings, die_with_parent=True, preferences=PREFERENCES)
        stack.wipe()
        try:
            with report_crashed_process(stack):
                _run(stack, csv, rate, mapping)
        except Stopped:
            say("stopping")
        finally:
            stack.stop()


def _run(stack: Stack, csv: Path | None, rate: str, mapping: Path | None) -> None:
    ensure_page()
    file = csv or demo_data()
    stack.start()
    say(f"history: the first 90 % of {file.name} at full speed")
    send(stack, ProducerRun(file, "max", rows=HISTORY, mapping=mapping))
    wait_settled(stack)
    train(stack)
    wait_gateway(stack)
    first_recommendation(stack)
    log = stack.layout.log(PRODUCER)
    rest = ProducerRun(file, rate, rows=REST, mapping=mapping)
    stack.start_producer(rest.program(stack.settings, stack.layout, stack.environment, log))
    say(f"the rest of {file.name} streams at {rate} events/s")
    say(f"the page is ready: {stack.settings.page}   (Ctrl-C stops everything)")
    _watch(stack)


def _watch(stack: Stack) -> None:
    """Check the processes until Ctrl-C. Raises ProcessDied."""
    streaming = True
    while True:
        stack.require_alive()
        if streaming and not stack.is_running(PRODUCER):
            streaming = False
            say("all rows are sent; the page stays up until Ctrl-C")
        time.sleep(_POLL_S)
