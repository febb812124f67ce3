"""From the export of each known shop system to its figures, as a new user does it: `python -m bench.first_figures`.

For each layout a file is made of the small export that the tests have, repeated with other orders. Then `inspect` and
the producer run as commands, until the gateway shows every line and the last revenue. With --model, the first model is
trained at the end, and a customer is asked for.

It runs on a stack of its own on free ports, which stands for all layouts: what `make up` takes to start is not in it.
"""

import argparse
import csv
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.machine import machine, table
from bench.stacks import own_stack
from local.http import get_json
from local.layout import REPOSITORY
from local.stack import Stack
from local.steps import train, wait_settled
from services.common.money import format_cents, parse_cents
from services.producer.layouts.inspection import Answers, propose
from services.producer.layouts.mapping import Mapping
from tests.support import layouts

ZONE = "Europe/Berlin"
EXPORTS = {
    "shopify": layouts.SHOPIFY,
    "woocommerce": layouts.WOOCOMMERCE,
    "woocommerce-advanced": layouts.WOOCOMMERCE_ADVANCED,
    "magento": layouts.MAGENTO,
    "square": layouts.SQUARE,
    "lightspeed": layouts.LIGHTSPEED,
    "odoo-pos": layouts.ODOO,
    "uci-online-retail": layouts.UCI,
    "generic": layouts.GENERIC,
}
_LATEST_S = 300


class Taken(NamedTuple):
    """One layout: rows of its file, lines that count, seconds of `inspect`, and in all until the figures show."""

    rows: int
    lines: int
    inspect_s: float
    figures_s: float


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.first_figures", description="From a file to figures.")
    parser.add_argument("--rows", type=int, default=20_000, help="rows of each file, about (20,000)")
    parser.add_argument("--model", action="store_true", help="train the first model of all of them as well")
    options = parser.parse_args(arguments)
    rows = [("layout", "rows", "lines", "inspect", "file to figures")]
    with own_stack() as stack, tempfile.TemporaryDirectory() as folder:
        for name, text in EXPORTS.items():
            taken = measure(stack, Path(folder) / f"{name}.csv", text, options.rows)
            seconds = f"{taken.inspect_s:.1f} s", f"{taken.figures_s:.1f} s"
            rows.append((name, f"{taken.rows:,}", f"{taken.lines:,}", *seconds))
        print(f"\nFrom a file to figures on {machine()}\n{table(rows)}")
        if options.model:
            print(f"first model, and an answer of it: {_first_answer(stack):.0f} s")
    return 0


def measure(stack: Stack, file: Path, export: str, rows: int) -> Taken:
    """Send one export, as the commands of a new user do it."""
    count = repeated(export, file, rows)
    lines, cents = _expected(file)
    before = _summary(stack)
    begun = time.monotonic()
    _run(stack, "inspect", str(file))
    inspected = time.monotonic()
    mapping = file.with_suffix(".mapping.toml")
    state = ("--state", str(stack.layout.data / "producer"), "--metrics-port", "0")
    _run(stack, str(file), "--mapping", str(mapping), *state)
    wanted = before["events"] + lines, format_cents(parse_cents(before["revenue"]) + cents)
    while (found := _summary(stack)) and (found["events"], found["revenue"]) != wanted:
        if time.monotonic() - begun > _LATEST_S:
            raise SystemExit(f"{file.name}: {found['events']:,} lines and {found['revenue']}, not {wanted}")
        time.sleep(0.05)
    return Taken(count, lines, inspected - begun, time.monotonic() - begun)


def repeated(export: str, file: Path, rows: int) -> int:
    """Write the export's rows again and again, each time with orders of their own; returns how many there are."""
    file.write_text(export, encoding="utf-8")
    mapping = propose(file, Answers(), ZONE).mapping
    lines = list(csv.reader(io.StringIO(export), delimiter=mapping.text.delimiter))
    head, body = lines[: mapping.text.header_line], lines[mapping.text.header_line :]
    names = mapping.columns["order_id"]
    at = [head[-1].index(name) for name in names]
    copies = max(rows // len(body), 1)
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target, delimiter=mapping.text.delimiter)
        writer.writerows([*head, *(row for copy in range(copies) for row in _renamed(body, at, copy))])
    return copies * len(body)


def _renamed(body: Sequence[Sequence[str]], at: Sequence[int], copy: int) -> list[list[str]]:
    return [[f"{text}-{copy}" if place in at and text else text for place, text in enumerate(row)] for row in body]


def _expected(file: Path) -> tuple[int, int]:
    """The lines of a file, and their revenue in cents."""
    events = layouts.events(file, _mapping_of(file))
    return len(events), sum(map(_cents, events))


def _mapping_of(file: Path) -> Mapping:
    return propose(file, Answers(), ZONE).mapping


def _cents(event: dict[str, Any]) -> int:
    if event.get("amount"):
        return parse_cents(event["amount"])
    return parse_cents(event["price"]) * int(event.get("quantity", "1"))


def _summary(stack: Stack) -> Any:
    return get_json(f"{stack.settings.page}/v1/stats/summary")


def _run(stack: Stack, *arguments: str) -> None:
    environment = {**os.environ, **stack.environment, "TILLSTREAM_TIME_ZONE": ZONE}
    command = [sys.executable, "-m", "services.producer", *arguments]
    subprocess.run(command, env=environment, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


def _first_answer(stack: Stack) -> float:
    begun = time.monotonic()
    wait_settled(stack)
    train(stack)
    url = f"{stack.settings.page}/v1/users/7/recommendations"
    while get_json(url)["strategy"] == "popular_fallback":
        time.sleep(0.1)
    return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
