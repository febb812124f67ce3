"""Faults of a running shop and the alerts that they fire: `python -m bench.alarms [--only NAME …]`.

A stack of its own on free ports sells and recommends, with Prometheus, the shipped rules and a scrape every five
seconds. Each fault is injected, mended once its alert fires, and waited for until nothing fires any longer. The table
says after how many seconds the alert fired in Prometheus, the page showed it, and it cleared; and what else fired.

--quiet injects nothing for so many minutes, and lists every alert that fired all the same.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator

from bench.alarms.faults import ALL
from bench.alarms.report import markdown
from bench.alarms.shop import Traffic, open_shop, shop
from bench.alarms.trial import trials
from bench.alarms.watch import Seen, Watch
from bench.machine import machine
from bench.soak.feeder import Feeder
from local.console import say
from local.ports import LOOPBACK
from local.stack import Stack

_SAID_EVERY_S = 60


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line says; 1 where it found something wrong."""
    options = _options(arguments)
    traffic = Traffic(options.rate, options.requests)
    with shop(traffic) as (stack, feeder):
        if options.quiet:
            return asyncio.run(_quiet(stack, feeder, traffic, options.quiet))
        return asyncio.run(_faults(stack, feeder, traffic, options.only))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.alarms", description="Alerts of a running shop.")
    parser.add_argument("--quiet", type=float, metavar="MINUTES", help="inject nothing for so long")
    parser.add_argument("--only", nargs="+", choices=[fault.name for fault in ALL], help="these faults instead of all")
    parser.add_argument("--rate", type=int, default=20, help="purchases a second (20)")
    parser.add_argument("--requests", type=float, default=2, help="recommendations a second (2)")
    return parser.parse_args(arguments)


async def _quiet(stack: Stack, feeder: Feeder, traffic: Traffic, minutes: float) -> int:
    async with open_shop(stack, feeder, traffic), watched(stack) as watch:
        begun = time.monotonic()
        while (elapsed := time.monotonic() - begun) < minutes * 60:
            stack.require_alive()
            say(f"{elapsed / 60:.0f} min: {in_words(watch.seen)}")
            await asyncio.sleep(min(_SAID_EVERY_S, minutes * 60 - elapsed))
        shown_s = time.monotonic() - begun
    print(
        f"\n{shown_s / 60:.1f} min of {traffic.purchases} purchases and {traffic.requests:g} recommendations a second, "
        f"alerts read {watch.rounds:,} times, on {machine()}\n{in_words(watch.seen)}"
    )
    return 1 if watch.seen.fired else 0


async def _faults(stack: Stack, feeder: Feeder, traffic: Traffic, only: list[str] | None) -> int:
    faults = [fault(stack) for fault in ALL if only is None or fault.name in only]
    async with open_shop(stack, feeder, traffic), watched(stack) as watch:
        found = await trials(faults, watch)
    print(f"\n{traffic.purchases} purchases and {traffic.requests:g} recommendations a second, on {machine()}\n")
    print(markdown(found))
    return 0 if all(finding.complete for finding in found) else 1


@contextlib.asynccontextmanager
async def watched(stack: Stack) -> AsyncIterator[Watch]:
    """Watch until the block ends."""
    watch = Watch(f"http://{LOOPBACK}:{stack.settings.prometheus_port}", stack.settings.page)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def in_words(seen: Seen) -> str:
    """Every alert that fired, and how often."""
    return "; ".join(f"{alert}: {len(periods)} times" for alert, periods in seen.fired.items()) or "no alert fired"


if __name__ == "__main__":
    sys.exit(main())
