"""`demo`: the whole stack with a state of its own, in the foreground. The state is fresh, or that of the last demo."""

import time
from pathlib import Path

from local.console import say
from local.layout import Layout
from local.lockfile import exclusive
from local.mapping import mapping_for
from local.model import current_version
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
SHORT_HISTORY = "70%:90%"
"""Of the grocery set, whose whole year would make the first recommendation wait: the 74 days before the rest."""
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


def demo(csv: Path | None, rate: str, mapping: Path | None = None, keep: bool = False) -> None:
    """Run until Ctrl-C. With `keep` continue the last demo of this file, if its model was trained.

    Raises ProcessDied when a process dies. Stops all processes either way.
    """
    settings = StackSettings()
    mapping = mapping_for(csv, mapping)
    with exclusive(settings.state_dir / "demo.lock", "another `make demo` is running"):
        layout = Layout(settings.state_dir / "demo")
        stack = Stack(layout, settings, die_with_parent=True, preferences=PREFERENCES)
        kept = keep and _is_of(layout, csv)
        if keep and not kept:
            say("no demo of this file is kept: it starts afresh")
        if not kept:
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
    say(f"the page is open, with live figures: {stack.settings.page}")
    if current_version(stack) is None:
        rows = HISTORY if csv else SHORT_HISTORY
        say(f"history: the rows {rows} of {file.name} at full speed")
        send(stack, ProducerRun(file, "max", rows=rows, mapping=mapping))
        wait_settled(stack)
        say("the first model: the batch job prints a line after each of its six steps")
        train(stack)
    say("waiting until the gateway has figures and the model")
    wait_gateway(stack)
    first_recommendation(stack)
    _mark(stack.layout, csv)
    log = stack.layout.log(PRODUCER)
    rest = ProducerRun(file, rate, rows=REST, mapping=mapping)
    stack.start_producer(rest.program(stack.settings, stack.layout, stack.environment, log))
    say(f"the rest of {file.name} streams at {rate} events/s")
    say(f"the page is ready: {stack.settings.page}   (Ctrl-C stops everything)")
    _watch(stack)


def _mark(layout: Layout, csv: Path | None) -> None:
    """Record that the history of this file is loaded and a model was trained on it."""
    _marker(layout).write_text(_name(csv))


def _is_of(layout: Layout, csv: Path | None) -> bool:
    """Whether the state is that of a demo of this file, with its history and model."""
    marker = _marker(layout)
    return marker.exists() and marker.read_text() == _name(csv)


def _marker(layout: Layout) -> Path:
    return layout.root / "history-of"


def _name(csv: Path | None) -> str:
    return str(csv.resolve()) if csv else "the grocery set"


def _watch(stack: Stack) -> None:
    """Check the processes until Ctrl-C. Raises ProcessDied."""
    streaming = True
    while True:
        stack.require_alive()
        if streaming and not stack.is_running(PRODUCER):
            streaming = False
            say("all rows are sent; the page stays up until Ctrl-C")
        time.sleep(_POLL_S)
