"""The stacks that benchmarks run on: one of their own on free ports, or the one that `make up` started."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.commands import detached_stack
from local.layout import STATE, Layout
from local.settings import StackSettings, free_port_settings
from local.stack import Stack


@contextmanager
def own_stack(**settings: object) -> Iterator[Stack]:
    """A fresh stack with everything running, gone afterwards. `settings` are fields of StackSettings."""
    with _fresh_stack(settings) as stack:
        stack.start()
        yield stack


@contextmanager
def own_engines(**settings: object) -> Iterator[Stack]:
    """A fresh stack of which only the engines run."""
    with _fresh_stack(settings) as stack:
        stack.start_engines()
        yield stack


@contextmanager
def _fresh_stack(settings: Mapping[str, object]) -> Iterator[Stack]:
    STATE.mkdir(exist_ok=True)
    # Next to the other state: a folder for temporary files may be kept in memory.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=STATE) as folder:
        stack = Stack(Layout(Path(folder)), _on_free_ports(settings), die_with_parent=True)
        try:
            yield stack
        finally:
            stack.stop()


@contextmanager
def running_stack() -> Iterator[Stack]:
    """The stack of `make up`. Raises StackError where it does not run."""
    stack = detached_stack()
    stack.require_running()
    yield stack


def pids(stack: Stack) -> dict[str, int]:
    """The process id of each running part."""
    processes = ((name, stack.process(name)) for name in stack.running)
    return {name: process.identity.pid for name, process in processes if process is not None}


def _on_free_ports(settings: Mapping[str, object]) -> StackSettings:
    ports = {name.removeprefix("TILLSTREAM_").lower(): port for name, port in free_port_settings().items()}
    return StackSettings.model_validate({**ports, "monitoring": False, **settings})
