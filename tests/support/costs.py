"""What each suite of the tests takes: seconds of the clock and of the processors. `--costs` prints it after a run.

A suite is a folder of tests/. The processor time of a test includes that of every process below its worker: engines,
services, browsers. What a process does that its worker shares between tests counts for the test that runs meanwhile.
"""

import os
from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_PROPERTY = "processor_seconds"
_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(root: int) -> float:
    """User and system time, so far, of a process and of all that it started, as far as their parents live."""
    times, children = {}, defaultdict(list)
    for process, parent, ticks in _processes():
        times[process] = ticks
        children[parent].append(process)
    total, waiting = 0, [root]
    while waiting:
        process = waiting.pop()
        total += times.get(process, 0)
        waiting += children[process]
    return total / _TICKS


def _processes() -> Iterator[tuple[int, int, int]]:
    """Each process's id, its parent's, and its ticks with those of its children that have ended."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                text = Path(entry.path, "stat").read_text()
            except OSError:  # it has just ended
                continue
            fields = text.rpartition(")")[2].split()
            yield int(entry.name), int(fields[1]), sum(map(int, fields[11:15]))


@dataclass(slots=True)
class Cost:
    """What tests took together."""

    tests: set[str] = field(default_factory=set)
    seconds: float = 0.0
    processor: float = 0.0


class Meter:
    """In each process that runs tests: notes with every part of a test what it took."""

    def __init__(self) -> None:
        self._before = processor_seconds(os.getpid())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = processor_seconds(os.getpid())
        report.user_properties = [*report.user_properties, (_PROPERTY, max(0.0, now - self._before))]
        self._before = now
        return report


class Table:
    """In the process that reports: sums up by suite and by module, and prints both."""

    def __init__(self) -> None:
        self.suites: defaultdict[str, Cost] = defaultdict(Cost)
        self.modules: defaultdict[str, Cost] = defaultdict(Cost)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        processor = sum(float(str(value)) for name, value in report.user_properties if name == _PROPERTY)
        module = report.nodeid.partition("::")[0]
        for cost in (self.suites[module.split("/")[1]], self.modules[module]):
            cost.tests.add(report.nodeid)
            cost.seconds += report.duration
            cost.processor += processor

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for title, costs, most in (("suite", self.suites, None), ("module", self.modules, 40)):
            terminalreporter.section(f"what each {title} took")
            terminalreporter.write_line(f"{'seconds':>9} {'processor':>9} {'tests':>6}  {title}")
            for name, cost in sorted(costs.items(), key=lambda item: -item[1].seconds)[:most]:
                line = f"{cost.seconds:9.1f} {cost.processor:9.1f} {len(cost.tests):6}  {name}"
                terminalreporter.write_line(line)


def configure(config: pytest.Config) -> None:
    """Measure, if `--costs` is given."""
    if config.getoption("costs"):
        config.pluginmanager.register(Meter())
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(Table())
