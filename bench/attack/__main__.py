"""Attack a stack of your own: `python -m bench.attack [--only WORD] [--seconds N] [--rate N]`.

It starts engines and services on free ports, closed by keys and a login. First come attempts to get in, each of which
must be held. Then come floods: while one runs, an honest client at another address asks for recommendations at a
constant rate, and its answers are compared with those of a quiet time before and after. Exit status 1 where an attempt
was not held, or where the honest client lost answers.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

from bench.attack.floods import FLOODS, attack
from bench.attack.http_attempts import HTTP_ATTEMPTS
from bench.attack.inner_attempts import INNER_ATTEMPTS
from bench.attack.key_attempts import KEY_ATTEMPTS
from bench.attack.outcome import Attempt, Outcome
from bench.attack.shop import Shop, running_shop
from bench.machine import machine, table
from bench.recommend import percentile
from bench.serving.load import Answers, run_open
from services.gateway.access.roles import Role

ATTEMPTS: Mapping[str, Attempt] = {**HTTP_ATTEMPTS, **KEY_ATTEMPTS, **INNER_ATTEMPTS}
_CONNECTIONS = 16
# An attack is under way before the honest client begins.
_LEAD_S = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.attack", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="attempts and floods with this word in their name")
    parser.add_argument("--seconds", type=float, default=10, help="of each flood (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=50, help="honest requests a second (default: %(default)s)")
    options = parser.parse_args(arguments)
    attempts = {name: attempt for name, attempt in ATTEMPTS.items() if options.only in name}
    floods = [name for name in FLOODS if options.only in name]
    with running_shop() as shop:
        outcomes = {name: _tried(name, attempt, shop) for name, attempt in attempts.items()}
        lost = _floods(shop, floods, options.rate, options.seconds) if floods else 0
    return 0 if all(each.held for each in outcomes.values()) and not lost else 1


def _tried(name: str, attempt: Attempt, shop: Shop) -> Outcome:
    """Make an attempt and print what it led to."""
    try:
        outcome = attempt(shop)
    except Exception as error:  # what was not performed was not held
        outcome = Outcome(False, f"{type(error).__name__}: {error}")
    print(f"{'held    ' if outcome.held else 'NOT HELD'}  {name}: {outcome.what}", flush=True)
    return outcome


def _floods(shop: Shop, names: Sequence[str], rate: float, seconds: float) -> int:
    """Print what each costs the honest client; returns how many answers it lost."""
    rows: list[tuple[str, ...]] = [("flood", "made", "honest", "lost", "p50 ms", "p99 ms")]
    lost = 0
    print(f"\n{rate:.0f} honest requests a second for {seconds:.0f} s next to each flood, on {machine()}")
    context = multiprocessing.get_context("spawn")
    for name in _with_quiet_times(names):
        with ProcessPoolExecutor(1, context) as pool:
            key = shop.keys[Role.ADMIN]
            made = pool.submit(attack, name, shop.port, key, seconds + _LEAD_S) if name in FLOODS else None
            time.sleep(_LEAD_S)
            answers = run_open(shop.port, [_honest(shop)], _CONNECTIONS, rate, seconds)
            lost += _lost(answers)
            rows.append((name, f"{made.result():,}" if made else "", *_row(answers)))
            print(f"  {'  '.join(rows[-1])}", flush=True)
    print(f"\n{table(rows)}")
    return lost


def _with_quiet_times(names: Sequence[str]) -> Iterator[str]:
    yield from ("(quiet, cold)", "(quiet, before)", *names, "(quiet, after)")


def _honest(shop: Shop) -> bytes:
    fields = ["GET /v1/users/somebody/recommendations?k=3 HTTP/1.1", "Host: localhost"]
    return "\r\n".join([*fields, f"Authorization: Bearer {shop.keys[Role.RECOMMEND]}"]).encode() + b"\r\n\r\n"


def _lost(answers: Answers) -> int:
    return answers.unanswered + sum(answers.statuses.values()) - answers.statuses[200]


def _row(answers: Answers) -> tuple[str, ...]:
    percentiles = (f"{percentile(answers.good_s, percent) * 1e3:.1f}" for percent in (50, 99))
    return f"{answers.statuses[200]:,}", f"{_lost(answers):,}", *percentiles


if __name__ == "__main__":
    sys.exit(main())
