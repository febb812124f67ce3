"""`python -m tests.fuzz --messages 1000000`: mutated messages through the decoder, and through the engines."""

import argparse
import base64
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from tests.fuzz.engines import run_through_engines
from tests.fuzz.extreme_run import run_extremes
from tests.fuzz.invariants import Broken, judge
from tests.fuzz.mutator import message, messages
from tests.fuzz.seeds import BROKER_MS

_SHOWN = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 where a message breaks a promise; the message is saved."""
    options = _options(arguments)
    broken = _decode(options.seed, options.first, options.messages, options.save)
    if broken is None and options.engines:
        print(f"\n{options.engines:,} of them through Kafka, aggregator, Redis and archive:")
        broken = run_through_engines(options.seed, options.first, options.engines)
    if broken is None and options.extremes:
        print(f"\n{options.extremes:,} valid but extreme events through Kafka, aggregator and Redis:")
        broken = run_extremes(options.seed, options.extremes)
    if broken is not None:
        print(f"BROKEN: {broken}", file=sys.stderr)
    return broken is not None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--messages", type=int, default=1_000_000, help="number of messages to validate (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the mutations (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first message, to repeat one (default 0)")
    parser.add_argument(
        "--engines", type=int, default=0, help="number of messages to send through real engines (default 0)"
    )
    parser.add_argument(
        "--extremes", type=int, default=0, help="number of extreme events to send through real engines (default 0)"
    )
    parser.add_argument(
        "--save",
        type=Path,
        default=Path(".tillstream/fuzz"),
        help="folder for messages that break a promise (%(default)s)",
    )
    return parser.parse_args(arguments)


def _decode(seed: int, first: int, count: int, save: Path) -> str | None:
    verdicts: Counter[str] = Counter()
    slowest = (0, -1)
    started = time.perf_counter()
    with tqdm(total=count, unit=" messages", unit_scale=True, disable=None) as progress:
        for number, value in messages(seed, first, count):
            try:
                judged = judge(value, BROKER_MS)
            except Broken as broken:
                file = _saved(save, seed, number, value)
                return f"message {number} of seed {seed}: {broken}\nIt is in {file}, base64."
            verdicts[judged.verdict] += 1
            slowest = max(slowest, (judged.cpu_ns, number))
            if number % _SHOWN == 0:
                progress.update(number - first - progress.n)
        progress.update(count - progress.n)
    _report(seed, verdicts, slowest, time.perf_counter() - started)
    return None


def _saved(folder: Path, seed: int, number: int, value: bytes | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{seed}-{number}.b64"
    file.write_bytes(base64.b64encode(value or b""))
    return file


def _report(seed: int, verdicts: Mapping[str, int], slowest: tuple[int, int], seconds: float) -> None:
    count = sum(verdicts.values())
    for verdict, occurrences in sorted(verdicts.items(), key=lambda entry: -entry[1]):
        print(f"{verdict:15} {occurrences:>12,} {occurrences / count:7.2%}")
    size = len(message(seed, slowest[1]) or b"")
    print(
        f"{'all':15} {count:>12,}   seed {seed}, {seconds:.0f} s, {count / seconds:,.0f} messages/s; the longest"
        f" verdict took {slowest[0] / 1000:,.0f} µs (message {slowest[1]}, {size:,} bytes)"
    )


if __name__ == "__main__":
    sys.exit(main())
