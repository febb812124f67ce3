"""The page under load: `python -m bench.page [--csv FILE] [--rate 5000] [--seconds 60] [--tabs 5] [--clients 95]`.

On its own stack, the producer streams purchases at the rate while the tabs of Chromium and plain stream clients are
open. It reports:

- the sizes of the page's scripts, as built, gzipped;
- the CPU time of one tab (its renderer process), of the gateway and of the other processes;
- the time from event to pixel: twice a second a purchase of a marked customer, who leads the top spenders from then on,
  is posted to the gateway. It counts from before the request until the frame after the one in which the page shows the
  customer's new spend: intake, Kafka, aggregator, Redis, the gateway's update after the arrival, the stream, drawing;
- frames a second of the first tab.

Browser, producer and clients share the machine with the stack.
"""

import argparse
import gzip
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from bench.machine import CpuMeter, cpu_table, machine, table
from bench.recommend import percentile
from bench.stacks import own_stack, pids
from local.browser import chromium
from local.layout import REPOSITORY
from local.process import spawn, stop_together
from local.producer_run import ProducerRun, demo_data
from local.stack import Stack
from local.steps import ensure_page

DESK: ViewportSize = {"width": 1280, "height": 800}
MARKED_CENTS = 1_000_000_00
"""More than anybody spends in the files that are streamed."""
MARK_EVERY_S = 0.5
SETTLE_S = 8.0
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")

# Notes when the first of the top spenders shows another text: the frame after the change has been drawn by then.
WATCH = """() => {
  window.pixels = []; window.frames = []; let last = null;
  const note = () => {
    const text = document.querySelector("[data-testid=top-spenders] .number")?.textContent ?? null;
    if (text === null || text === last) return;
    last = text;
    requestAnimationFrame(() => requestAnimationFrame(() => window.pixels.push([text, Date.now()])));
  };
  new MutationObserver(note).observe(document.body, { childList: true, characterData: true, subtree: true });
  const frame = (at) => { window.frames.push(at); requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""

Pixel = tuple[str, float]


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; 1 where no marked purchase was ever seen."""
    options = _options(arguments)
    ensure_page()
    run = ProducerRun(options.csv or demo_data(), f"{options.rate:g}")
    with own_stack() as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS, headless=True)
        measured = measure(stack, browser, run, options)
        browser.close()
    print(f"\n{options.tabs} tabs and {options.clients} readers at {options.rate:g} purchases/s on {machine()}")
    print(table([("script", "gzipped bytes"), *bundle()]))
    print(cpu_table(measured.meter, options.seconds))
    print(f"one tab: {100 * tab_seconds(measured.meter.seconds, options.tabs) / options.seconds:.1f} % of a core")
    return _print_pixels(measured)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.page", description="Cost and latency of the page under load."
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="purchases in the seed layout (default: the grocery set)"
    )
    parser.add_argument("--rate", type=float, default=5_000, help="purchases a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tabs", type=int, default=5, help="tabs of Chromium, all on Now")
    parser.add_argument("--clients", type=int, default=95, help="stream clients that draw nothing")
    return parser.parse_args(arguments)


def bundle() -> list[tuple[str, str]]:
    """Each script of the built page with its size as it is sent, the largest last."""
    scripts = (REPOSITORY / "web" / "dist" / "assets").glob("*.js")
    sizes = sorted((len(gzip.compress(script.read_bytes())), script.name) for script in scripts)
    return [(name, f"{size:,}") for size, name in sizes]


def tab_seconds(seconds: Mapping[str, float], tabs: int) -> float:
    """CPU seconds of a tab on average: the busiest renderers are the tabs, others are spares of Chromium."""
    renderers = sorted((used for name, used in seconds.items() if "renderer" in name), reverse=True)
    return sum(renderers[:tabs]) / tabs


class Measured:
    """What was seen: CPU by process, when each marked purchase was sent, what the tab showed when."""

    def __init__(self, meter: CpuMeter, sent: list[float], pixels: list[Pixel], frames: list[float]) -> None:
        self.meter = meter
        self.sent = sent
        self.pixels = pixels
        self.frames = frames


def measure(stack: Stack, browser: Browser, run: ProducerRun, options: argparse.Namespace) -> Measured:
    """Open everything, let it settle, and measure for the time asked for."""
    url = stack.settings.page
    with ExitStack() as open_things:
        open_things.enter_context(_streaming(stack, run))
        open_things.enter_context(_readers(stack, options.clients))
        mark(url, 0)
        pages = [_tab(browser, url) for _ in range(options.tabs)]
        pages[0].evaluate(WATCH)
        pages[0].wait_for_timeout(SETTLE_S * 1000)
        meter = CpuMeter({**pids(stack), **_browser_pids(browser)})
        sent = _mark_for(pages[0], url, options.seconds)
        meter.read()
        pages[0].wait_for_timeout(3_000)
        return Measured(meter, sent, pages[0].evaluate("window.pixels"), pages[0].evaluate("window.frames"))


@contextmanager
def _streaming(stack: Stack, run: ProducerRun) -> Iterator[None]:
    log = stack.layout.log("producer")
    producer = spawn(run.program(stack.settings, stack.layout, stack.environment, log), die_with_parent=True)
    try:
        yield
    finally:
        stop_together([producer])


@contextmanager
def _readers(stack: Stack, clients: int) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.soak.sse_clients", "--port", str(stack.settings.gateway_port)]
    readers = subprocess.Popen([*command, "--clients", str(clients)], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        readers.terminate()
        readers.wait(30)


def _tab(browser: Browser, url: str) -> Page:
    """A tab in a context, and so a process, of its own."""
    page = browser.new_context(viewport=DESK, locale="en-US").new_page()
    page.goto(url)
    page.get_by_test_id("connection").get_by_text("Live", exact=True).wait_for(timeout=60_000)
    page.get_by_test_id("top-spenders").get_by_role("listitem").first.wait_for(timeout=60_000)
    return page


def _browser_pids(browser: Browser) -> dict[str, int]:
    """Chromium's processes by what they do; renderers that show a tab are numbered."""
    found: list[dict[str, Any]] = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return {f"chromium {process['type']} {process['id']}": int(process["id"]) for process in found}


def _mark_for(page: Page, url: str, seconds: float) -> list[float]:
    """Post a marked purchase every so often; epoch milliseconds before each was sent."""
    sent: list[float] = []
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        sent.append(time.time() * 1000)
        mark(url, len(sent))
        page.wait_for_timeout(max(0.0, MARK_EVERY_S - (time.monotonic() - now)) * 1000)
    return sent


def mark(url: str, number: int) -> None:
    """One purchase of the marked customer. Raises urllib's errors where it is not accepted."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    price = f"{MARKED_CENTS // 100}.00"
    event = {"event_time": now, "order_id": f"mark-{number}", "product_id": "mark", "user_id": "mark", "price": "0"}
    body = json.dumps({**event, "amount": price}).encode()
    request = urllib.request.Request(f"{url}/v1/events", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).close()


def delays(sent: Sequence[float], pixels: Sequence[Pixel]) -> list[float]:
    """Milliseconds from each marked purchase to the first pixel that had it; those never shown are left out.

    The purchase before the first of `sent` counts too: number n of `sent` is there once n + 1 are.
    """
    shown = [(int(re.sub(r"\D", "", text)) // MARKED_CENTS, at) for text, at in pixels]
    firsts = (next((at for count, at in shown if count >= number), None) for number in range(2, len(sent) + 2))
    return [at - sent_at for sent_at, at in zip(sent, firsts, strict=True) if at is not None]


def _print_pixels(measured: Measured) -> int:
    waited = sorted(delays(measured.sent, measured.pixels))
    if not waited:
        print("no marked purchase was ever shown")
        return 1
    gaps = sorted(after - before for before, after in zip(measured.frames, measured.frames[1:], strict=False))
    span = (measured.frames[-1] - measured.frames[0]) / 1000
    marks = f"{len(waited)} of {len(measured.sent)}"
    quantiles = [f"{percentile(waited, percent):.0f} ms" for percent in (50, 99)]
    print(table([("event to pixel", "p50", "p99"), (f"{marks} purchases", *quantiles)]))
    print(f"{len(gaps) / span:.1f} frames/s; 99 % of frames within {percentile(gaps, 99):.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
