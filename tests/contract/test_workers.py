"""Tests on several workers: what shares fixtures stays on one, the rest is spread; what each suite takes."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.costs import Meter, Table, processor_seconds
from tests.support.scheduling import UnitScheduling, place_of, unit_of

MONEY, CALENDAR = "tests/unit/common/test_money.py", "tests/unit/common/test_calendar.py"
STACK = "tests/integration/test_stack.py"
ITEMS = [f"{module}::test_{number}" for module in (MONEY, CALENDAR) for number in range(4)]


@dataclass(eq=False)
class FakeWorker:
    """What pytest-xdist's scheduler needs of a worker."""

    gateway: Any = field(default_factory=lambda: SimpleNamespace(id="gw"))
    shutting_down: bool = False
    given: list[int] = field(default_factory=list)

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def units_given(items: list[str]) -> list[set[str]]:
    """The units that each of two workers is given, all its tests being done at once."""
    config: Any = SimpleNamespace(option=SimpleNamespace(), getvalue=lambda _: ["2*popen"])
    scheduling, workers = UnitScheduling(config), [FakeWorker(), FakeWorker()]
    for worker in workers:
        scheduling.add_node(worker)
    for worker in workers:
        scheduling.add_node_collection(worker, items)
    scheduling.schedule()
    for worker in workers:
        for index in worker.given:  # grows meanwhile
            scheduling.mark_test_complete(worker, index)
    assert sorted(index for worker in workers for index in worker.given) == list(range(len(items)))
    return [{unit_of(items[index]) for index in worker.given} for worker in workers]


def test_a_module_runs_on_one_worker_and_each_worker_has_one() -> None:
    assert units_given(ITEMS) == [{MONEY}, {CALENDAR}]


def test_tests_that_share_nothing_are_spread() -> None:
    apart = [f"{STACK}::test_{number}" for number in range(4)]
    first, second = units_given(apart)
    assert first
    assert second
    assert first | second == {*apart}


def test_what_shares_a_shop_or_a_jvm_is_one_unit() -> None:
    assert unit_of("tests/e2e/test_page.py::test_a") == unit_of("tests/e2e/test_replay.py::test_b")
    spark = [f"tests/integration/test_{name}.py::test_a" for name in ("spark_job", "evaluate", "reconciliation")]
    assert len({*map(unit_of, spark)}) == 1
    assert unit_of(f"{MONEY}::test_a[x::y@z]") == MONEY


def test_the_longest_come_first() -> None:
    spark, other = "tests/integration/test_spark_job.py::a", "tests/integration/test_locks.py::a"
    assert place_of(spark) < place_of(other) < place_of(f"{MONEY}::a")


def test_processor_time_is_that_of_living_processes_below_too() -> None:
    before = processor_seconds(os.getpid())
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        alive = processor_seconds(os.getpid())
        process.communicate(b"\n")
    ended = processor_seconds(os.getpid())
    assert before + 0.25 < alive <= ended


def test_a_suite_takes_what_the_parts_of_its_tests_take() -> None:
    table = Table()
    for nodeid in (f"{MONEY}::a", f"{MONEY}::b", f"{STACK}::c"):
        for phase, seconds in (("setup", 2.0), ("call", 1.0)):
            report: Any = SimpleNamespace(when=phase, nodeid=nodeid, duration=seconds, user_properties=[("other", "x")])
            measured = Meter().pytest_runtest_makereport()
            next(measured)
            with pytest.raises(StopIteration):
                measured.send(report)
            table.pytest_runtest_logreport(report)
    assert {name: (len(cost.tests), cost.seconds) for name, cost in table.suites.items()} == {
        "unit": (2, 6.0),
        "integration": (1, 3.0),
    }
    assert set(table.modules) == {MONEY, STACK}
