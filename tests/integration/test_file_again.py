"""A shop's export again: under another name, backwards, over twice the partitions, rolling, with an order that changed.

The whole system as `make up` starts it; every figure is compared with the files as `make verify` does.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from local.http import get_json
from local.layout import REPOSITORY, Layout
from local.settings import StackSettings
from local.stack import Stack
from tests.support.machine import Machine
from tests.support.polling import wait_until
from tests.support.shop import BAD_TIME, Row, whole_rows, write_csv

LINES = 1_500
NEW_LINES = 300
FIGURES = ("revenue", "quantity", "orders", "buyers", "events")
_PYTHON = shlex.quote(sys.executable)


class Shop:
    """A running system and the files that it was sent."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder
        self.files: list[Path] = []

    def write(self, name: str, rows: Sequence[Row]) -> Path:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        return write_csv(self.folder / name, rows)

    def run(self, *command: str) -> str:
        """A command with the engines' addresses, as the Makefile runs it."""
        done = subprocess.run(
            ["bash", "-c", f'eval "$({_PYTHON} -m local env)" && exec {_PYTHON} -m {shlex.join(command)}'],
            check=False,
            cwd=REPOSITORY,
            env=self.machine.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def send(self, file: Path) -> None:
        code, output = self.machine.run("replay", str(file))
        assert code == 0, output

    def verify(self) -> None:
        """Every figure is that of the files, each row of them once."""
        files = [part for file in self.files for part in ("--csv", str(file))]
        self.run("local.verify", *files, "--gateway", self.machine.page, "--no-report", "--wait", "60")

    def summary(self) -> tuple[dict[str, Any], int]:
        """The totals, and the number of dead letters."""
        found: dict[str, Any] = get_json(f"{self.machine.page}/v1/stats/summary")
        return {name: found[name] for name in FIGURES}, int(found["dead_letters"])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    machine = Machine(tmp_path / "state")
    yield Shop(machine, tmp_path / "exports")
    machine.kill_everything()
    Stack(Layout(machine.folder), StackSettings(), die_with_parent=True).wipe()


def orders(seed: int, count: int) -> list[Row]:
    """Whole orders, in the order of their times, none of them rejected."""
    return sorted(row for row in whole_rows(seed, count) if row[0] != BAD_TIME)


@pytest.mark.timeout(900)
def test_a_file_again_changes_no_figure_and_a_rolling_export_adds_what_is_new(shop: Shop) -> None:
    sold, later = orders(1, LINES), orders(2, NEW_LINES)
    shop.files.append(shop.write("monday/orders.csv", sold))
    code, output = shop.machine.run("up", "--csv", str(shop.files[0]))
    assert code == 0, output
    shop.verify()

    shop.run("services.provision", "grow", "--partitions", "8")
    shop.send(shop.write("export (2).csv", sold[::-1]))
    shop.verify()

    cut = next(n for n in range(len(sold) // 2, len(sold)) if sold[n][1] != sold[n - 1][1])
    shop.send(shop.write("tuesday/orders.csv", [*sold[cut:], *later]))
    shop.files.append(shop.write("later.csv", later))
    shop.verify()

    totals, dead_letters = shop.summary()
    changed = [[*later[0][:6], "1.23", later[0][7]], *later[1:]]
    shop.send(shop.write("wednesday.csv", changed))
    wait_until(lambda: shop.summary() == (totals, dead_letters + 1), "the line that differs is listed, nothing counts")
    listed = json.loads(shop.run("services.deadletters", "orders", "--json"))
    assert listed["order_id"] == later[0][1]
