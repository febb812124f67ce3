"""`python -m services.deadletters list|show|stats|repair|replay`: work with what could not be accepted.

Exit status: 0 done; 1 nothing found, something still wrong, or Kafka away; 2 a mistake in options, files or settings.
"""

import argparse
import asyncio
import heapq
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError
from tqdm import tqdm

from services.common.entrypoint import refuse, run_command
from services.deadletters import formatting
from services.deadletters.command import parse_command
from services.deadletters.dead_letter import Filter, Letter
from services.deadletters.repair import Accepted, BadRepairs, Outcome, Repair, as_is, load_repairs, mend
from services.deadletters.replay import check_events, read_events, send_events
from services.deadletters.replays import Replays
from services.deadletters.settings import DeadLettersSettings
from services.deadletters.stats import Stats
from services.deadletters.topic import NoTopic, Topics, connected

_PROGRAM = "deadletters"
_LOOKED_UP_TOGETHER = 1000


_Write = Callable[[bytes], object]


def main() -> int:
    """Run the command line and answer the exit status."""
    options = parse_command(sys.argv[1:])
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is told in our words
    statuses = {BadRepairs: 2, NoTopic: 2, OSError: 2}
    return run_command(_PROGRAM, DeadLettersSettings, lambda settings: _run(options, settings), statuses)


def _run(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    try:
        return asyncio.run(_COMMANDS[options.command](options, settings))
    except KafkaError as error:
        return refuse(_PROGRAM, 1, f"Kafka at {settings.kafka_bootstrap} does not answer: {error!r}")
    except KeyboardInterrupt:
        return refuse(_PROGRAM, 130, "interrupted; the same command may be given again")


async def list_letters(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Print the newest letters that match, oldest first."""
    told = formatting.letter_json if options.json else formatting.letter_line
    async with connected(settings) as topics:
        if not options.limit:
            async for letter in _matching(topics, options):
                print(told(letter))
            return 0
        newest: list[tuple[int, int, Letter]] = []
        count = 0
        async for letter in _matching(topics, options):
            count += 1
            entry = (letter.failed_at, count, letter)
            heapq.heappush(newest, entry) if len(newest) < options.limit else heapq.heappushpop(newest, entry)
    for _, _, letter in sorted(newest, key=lambda entry: entry[:2]):
        print(told(letter))
    if count > len(newest):
        print(f"{count - len(newest):,} older ones are not shown: see --limit", file=sys.stderr)
    return 0


async def show(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Print one letter."""
    async with connected(settings) as topics:
        async for letter in _matching(topics, options):
            if letter.name == options.origin:
                whole = await topics.whole(letter)
                print(formatting.letter_json(whole) if options.json else formatting.letter_whole(whole))
                return 0
    return refuse(_PROGRAM, 1, f"no dead letter of {options.origin}: `list` prints the origins that there are")


async def stats(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Count letters."""
    counted, replayed = Stats(), _Replayed(settings)
    async with connected(settings) as topics:
        async for letter in _matching(topics, options):
            counted.add(letter)
            await replayed.look_up(letter.replay_id)
    for line in (formatting.stats_json if options.json else formatting.stats_lines)(counted, await replayed.result()):
        print(line)
    return 0


async def repair(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Try a repair and write what is valid."""
    mending = load_repairs(options.repairs)
    out = None if options.dry_run else options.out
    outcome = await _mend_all(options, settings, mending, out)
    for line in formatting.outcome_lines(outcome):
        print(line)
    if out is not None:
        print(f"{outcome.accepted:,} events are in {out}; send them: python -m services.deadletters replay {out}")
    return 1 if outcome.refused else 0


async def replay(options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    """Send repaired events."""
    if options.file is not None:
        return await _replay_file(options.file, options, settings)
    mending = as_is if options.as_is else load_repairs(options.repairs)
    with tempfile.TemporaryDirectory(prefix="tillstream-") as folder:
        file = Path(folder) / "repaired.jsonl"
        outcome = await _mend_all(options, settings, mending, file)
        for line in formatting.outcome_lines(outcome):
            print(line)
        status = await _replay_file(file, options, settings)
        return status or (1 if outcome.refused else 0)


async def _replay_file(file: Path, options: argparse.Namespace, settings: DeadLettersSettings) -> int:
    now_ms = _now_ms()
    outcome = check_events(file, now_ms)
    if options.file is not None:
        for line in formatting.outcome_lines(outcome):
            print(line)
    if not outcome.accepted:
        return refuse(_PROGRAM, 1, "there is nothing to send")
    target = f"{settings.purchases_topic} at {settings.kafka_bootstrap}"
    if not options.yes and not _confirmed(f"Send {outcome.accepted:,} events to {target}?"):
        return refuse(_PROGRAM, 2, "nothing was sent; --yes sends without asking")
    events = (event for _, event in read_events(file, now_ms) if isinstance(event, Accepted))
    with closing(_bar("sending", outcome.accepted)) as bar:
        sent = await send_events(events, settings, bar.update)
    print(f"{sent:,} events are in {target}; those that were replayed before count nothing")
    return 1 if outcome.refused else 0


async def _mend_all(
    options: argparse.Namespace, settings: DeadLettersSettings, mending: Repair, out: Path | None
) -> Outcome:
    """Mend the letters that match; the valid ones go to `out`, a line each, whole or not at all."""
    outcome = Outcome()
    async with connected(settings) as topics:
        with _written_whole(out) as write:
            async for letter in _first(_matching(topics, options), options.limit):
                whole = await topics.whole(letter)
                mended = mend(whole, mending, _now_ms())
                outcome.add(whole, mended)
                if isinstance(mended, Accepted):
                    write(mended.value + b"\n")
    return outcome


@contextmanager
def _written_whole(out: Path | None) -> Iterator[_Write]:
    if out is None:
        yield lambda _line: None
        return
    beside = out.with_name(f"{out.name}.new")
    with beside.open("wb") as file:
        yield file.write
    beside.replace(out)


async def _matching(topics: Topics, options: argparse.Namespace) -> AsyncIterator[Letter]:
    named = vars(options)
    wanted = Filter(named.get("reason") or (), named.get("since"), named.get("until"), named.get("source"))
    with closing(_bar("reading", None)) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        async for letter in topics.letters(advance):
            if wanted.takes(letter):
                yield letter


async def _first(letters: AsyncIterator[Letter], limit: int) -> AsyncIterator[Letter]:
    count = 0
    async for letter in letters:
        yield letter
        count += 1
        if count == limit:
            return


class _Replayed:
    """Counts which letters were replayed, as far as Redis answers."""

    def __init__(self, settings: DeadLettersSettings) -> None:
        self._replays = Replays(settings)
        self._asked: list[str] = []
        self._count: int | None = 0

    async def look_up(self, event_id: str) -> None:
        """Count one id, together with others."""
        self._asked.append(event_id)
        if len(self._asked) == _LOOKED_UP_TOGETHER:
            await self._ask()

    async def result(self) -> int | None:
        """How many were replayed; None where Redis was not to be reached. Closes the connection."""
        await self._ask()
        await self._replays.close()
        return self._count

    async def _ask(self) -> None:
        asked, self._asked = self._asked, []
        try:
            if self._count is not None:
                self._count += await self._replays.count(asked)
        except (RedisError, OSError):
            self._count = None


def _confirmed(question: str) -> bool:
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def _bar(label: str, total: int | None) -> "tqdm[Any]":
    return tqdm(desc=label, total=total, unit=" letters", unit_scale=True, disable=not sys.stderr.isatty(), leave=False)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


_COMMANDS = {"list": list_letters, "show": show, "stats": stats, "repair": repair, "replay": replay}


if __name__ == "__main__":
    sys.exit(main())
