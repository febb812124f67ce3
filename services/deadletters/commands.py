"""The commands list, orders, show, stats, repair and replay: each reads, prints, and returns the exit status."""

import argparse
import heapq
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from services.common.entrypoint import refuse
from services.common.events import Reason
from services.deadletters import formatting
from services.deadletters.dead_letter import DeadLetter, Filter
from services.deadletters.formatting import visible
from services.deadletters.order_log import OrderLog
from services.deadletters.repair import Repair, RepairSummary, ValidEvent, apply_repair, as_is, load_repairs
from services.deadletters.replay import check_events, read_events, send_events
from services.deadletters.replays import ReplayCounter
from services.deadletters.settings import DeadLettersSettings
from services.deadletters.stats import Stats
from services.deadletters.topic import Topics, connected

PROGRAM = "deadletters"

_Write = Callable[[bytes], object]


async def list_dead_letters(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Print the newest dead letters that match, oldest first."""
    render = formatting.dead_letter_json if options.json else formatting.dead_letter_line
    async with connected(settings) as topics:
        if not options.limit:
            async for dead_letter in _matching(topics, options):
                print(visible(render(dead_letter)))
            return 0
        newest, count = await _newest(_matching(topics, options), options.limit)
    for dead_letter in newest:
        print(visible(render(dead_letter)))
    if count > len(newest):
        print(f"{count - len(newest):,} older ones are not shown: see --limit", file=sys.stderr)
    return 0


async def show(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Print one dead letter."""
    async with connected(settings) as topics:
        async for dead_letter in _matching(topics, options):
            if dead_letter.name == options.origin:
                whole = await topics.whole(dead_letter)
                render = formatting.dead_letter_json if options.json else formatting.dead_letter_whole
                print(visible(render(whole)))
                return 0
    return refuse(PROGRAM, 1, f"no dead letter of {options.origin}: `list` prints the origins that there are")


async def orders(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Print the orders of dead letters with the reason order_changed."""
    options.reason = [Reason.ORDER_CHANGED.value]
    async with connected(settings) as topics:
        wanted = {dead_letter.order_id async for dead_letter in _matching(topics, options)} - {None}
        log = OrderLog((order_id for order_id in wanted if order_id is not None), settings.event_rules)
        if wanted:
            with closing(_bar("reading purchases", None, " records")) as bar:
                async for record in topics.records(settings.purchases_topic, _shown_on(bar)):
                    log.add(record)
    for changed in log.orders():
        for line in formatting.order_json(changed) if options.json else formatting.order_lines(changed):
            print(visible(line))
    return 0


async def stats(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Count dead letters."""
    counted, replayed = Stats(), ReplayCounter(settings)
    async with connected(settings) as topics:
        async for dead_letter in _matching(topics, options):
            counted.add(dead_letter)
            await replayed.add(dead_letter.replay_id)
    for line in (formatting.stats_json if options.json else formatting.stats_lines)(counted, await replayed.result()):
        print(visible(line))
    return 0


async def repair(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Try a repair and write the valid events."""
    out = None if options.dry_run else options.out
    summary = await _repair_all(options, settings, load_repairs(options.repairs), out)
    _print_summary(summary)
    if out is not None:
        print(f"{summary.accepted:,} events are in {out}; send them: python -m services.deadletters replay {out}")
    return 1 if summary.refused else 0


async def replay(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Send repaired events."""
    if options.file is not None:
        return await _replay_file(options.file, options, settings)
    repair_function = as_is if options.as_is else load_repairs(options.repairs)
    with tempfile.TemporaryDirectory(prefix="tillstream-") as folder:
        file = Path(folder) / "repaired.jsonl"
        summary = await _repair_all(options, settings, repair_function, file)
        _print_summary(summary)
        status = await _replay_file(file, options, settings)
        return status or (1 if summary.refused else 0)


async def _replay_file(file: Path, options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    now_ms = _now_ms()
    summary = check_events(file, now_ms, settings.event_rules)
    if options.file is not None:
        _print_summary(summary)
    if not summary.accepted:
        return refuse(PROGRAM, 1, "there is nothing to send")
    target = f"{settings.purchases_topic} at {settings.kafka_bootstrap}"
    if not options.yes and not _confirmed(f"Send {summary.accepted:,} events to {target}?"):
        return refuse(PROGRAM, 2, "nothing was sent; --yes sends without asking")
    events = (event for _, event in read_events(file, now_ms, settings.event_rules) if isinstance(event, ValidEvent))
    with closing(_bar("sending", summary.accepted)) as bar:
        sent = await send_events(events, settings, bar.update)
    print(f"{sent:,} events are in {target}; those that were replayed before count nothing")
    return 1 if summary.refused else 0


async def _repair_all(
    options: argparse.Namespace, settings: DeadLettersSettings, repair_function: Repair, out: Path | None
) -> RepairSummary:
    """Repair the dead letters that match; the valid events go to `out`, one a line, all of them or none."""
    summary = RepairSummary()
    async with connected(settings) as topics:
        with _written_whole(out) as write:
            async for dead_letter in _first(_matching(topics, options), options.limit):
                whole = await topics.whole(dead_letter)
                repaired = apply_repair(whole, repair_function, _now_ms(), settings.event_rules)
                summary.add(whole, repaired)
                if isinstance(repaired, ValidEvent):
                    write(repaired.value + b"\n")
    return summary


def _print_summary(summary: RepairSummary) -> None:
    for line in formatting.summary_lines(summary):
        print(visible(line))


@contextmanager
def _written_whole(out: Path | None) -> Iterator[_Write]:
    if out is None:
        yield lambda _line: None
        return
    new = out.with_name(f"{out.name}.new")
    with new.open("wb") as file:
        yield file.write
    new.replace(out)


async def _matching(topics: Topics, options: argparse.Namespace) -> AsyncIterator[DeadLetter]:
    given = vars(options)
    wanted = Filter(
        given.get("reason") or (), given.get("since"), given.get("until"), given.get("source"), given.get("order")
    )
    with closing(_bar("reading", None)) as bar:
        async for dead_letter in topics.dead_letters(_shown_on(bar)):
            if wanted.matches(dead_letter):
                yield dead_letter


async def _newest(dead_letters: AsyncIterator[DeadLetter], limit: int) -> tuple[list[DeadLetter], int]:
    """The newest `limit` of them, oldest first, and how many there are."""
    newest: list[tuple[int, int, DeadLetter]] = []
    count = 0
    async for dead_letter in dead_letters:
        count += 1
        entry = (dead_letter.failed_at, count, dead_letter)
        heapq.heappush(newest, entry) if len(newest) < limit else heapq.heappushpop(newest, entry)
    return [dead_letter for _, _, dead_letter in sorted(newest, key=lambda entry: entry[:2])], count


async def _first(dead_letters: AsyncIterator[DeadLetter], limit: int) -> AsyncIterator[DeadLetter]:
    """The first `limit` of them; all where that is 0."""
    count = 0
    async for dead_letter in dead_letters:
        yield dead_letter
        count += 1
        if count == limit:
            return


def _confirmed(question: str) -> bool:
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def _shown_on(bar: "tqdm[Any]") -> Callable[[int, int], None]:
    def advance(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return advance


def _bar(label: str, total: int | None, unit: str = " dead letters") -> "tqdm[Any]":
    hidden = not sys.stderr.isatty()
    return tqdm(desc=label, total=total, unit=unit, unit_scale=True, disable=hidden, leave=False)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


COMMANDS = {
    "list": list_dead_letters,
    "orders": orders,
    "show": show,
    "stats": stats,
    "repair": repair,
    "replay": replay,
}
