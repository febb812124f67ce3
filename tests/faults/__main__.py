"""`python -m tests.faults`: trials with random faults, and the table of their results (docs/reliability.md)."""

import argparse
import logging
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from local.console import say
from local.signals import Stopped, stoppable
from tests.faults import results
from tests.faults.compare import Toll
from tests.faults.injections import NEED_MOUNT
from tests.faults.results import TrialResult
from tests.faults.rig import can_mount, remove
from tests.faults.schedule import BY_NAME, FaultTrial, covering, rounds
from tests.faults.trial import TrialRound

STARTS = 3
EPILOG = """\
examples:
  python -m tests.faults --trials 200 --seed 0 --out results.jsonl
  python -m tests.faults --seed 137 --trials 1          the same trial again, alone on a fresh stack
  python -m tests.faults --only 'kill Redis' --trials 10
  python -m tests.faults table results.jsonl

Exit status: 0 every trial exact, 1 any was not, 2 a mistake in the options.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["table"]:
        return _table(given[1:])
    options = _parser().parse_args(given)
    for name in [name for name in os.environ if name.startswith("TILLSTREAM_")]:
        del os.environ[name]  # the developer's own settings
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a killed broker does not answer, as expected
    try:
        with stoppable():
            return run(options)
    except Stopped:
        return 130


def run(options: argparse.Namespace) -> int:
    """Round after round, until the trials or the time are used up."""
    folder = options.folder or Path(tempfile.mkdtemp(prefix="tillstream-faults-"))
    mountable = can_mount(folder)
    deadline = time.monotonic() + options.minutes * 60
    failed = done = 0
    say(f"trials from seed {options.seed}; folder {folder}")
    blocks = [covering(options.seed)] if options.short else rounds(options.seed, options.trials, options.only)
    for block in blocks:
        pending = [trial for trial in block if _possible(trial, mountable)]
        while pending and time.monotonic() < deadline:
            outcomes = _round(folder / f"from-{pending[0].seed}", pending, deadline, options.out)
            pending = pending[len(outcomes) :]
            done += len(outcomes)
            failed += sum(not outcome.exact for outcome in outcomes)
            say(f"{done} trials, {failed} of them not exact")
    return int(failed > 0)


def _possible(trial: FaultTrial, mountable: bool) -> bool:
    if mountable or not NEED_MOUNT & {*trial.kinds}:
        return True
    say(f"not run here (no file system can be mounted): {trial}")
    return False


def _round(folder: Path, trials: Sequence[FaultTrial], deadline: float, out: Path) -> list[TrialResult]:
    """Trials on one stack, until one is not exact; the folder is kept then."""
    outcomes: list[TrialResult] = []
    say(f"a round of {len(trials)} trials, {trials[0].shards} shards: {folder}")
    with _started(folder, trials) as stack:
        for trial in trials:
            say(str(trial))
            outcome = stack.run(trial)
            say(f"  {_in_words(outcome)}")
            results.append(out, outcome)
            outcomes.append(outcome)
            if not outcome.exact:
                return outcomes
            if time.monotonic() > deadline:
                break
        ending = _ending(stack, trials)
    if ending is not None:
        results.append(out, ending)
        say(f"  {_in_words(ending)}")
        return [*outcomes[:-1], ending]
    remove([folder])
    return outcomes


def _started(folder: Path, trials: Sequence[FaultTrial]) -> TrialRound:
    """A stack that runs. Its ports were free a moment ago: where another process took one meanwhile, try again."""
    for attempt in range(1, STARTS + 1):
        folder.mkdir(parents=True)
        stack = TrialRound(folder, trials)
        try:
            stack.start()
        except Exception as error:
            if attempt == STARTS:
                raise
            say(f"  the stack did not start, trying again: {error}")
            remove([folder])
        else:
            return stack
    raise AssertionError("unreachable")


def _ending(stack: TrialRound, trials: Sequence[FaultTrial]) -> TrialResult | None:
    """Compare everything again, and the batch report; None if all is exact, else a result for the round."""
    stack.forget()
    started = time.monotonic()
    toll = Toll()
    try:
        toll += stack.compare()
        toll += stack.compare_report()
        problem = [*toll.differences]
    except Exception as error:  # whatever it is, the rounds after this one go on
        problem = [f"{type(error).__name__}: {error}"]
    say(f"  archive and batch report of the round: {'exact' if not problem else problem[0]}")
    if not problem:
        return None
    seconds = round(time.monotonic() - started, 1)
    kinds = ["end of a round"]
    schedule = f"seeds {trials[0].seed} to {trials[-1].seed}"
    figures = (toll.lost, toll.doubled, toll.cents_off)
    return TrialResult(
        trials[0].seed, trials[0].shards, 0, kinds, *figures, None, seconds, "differs", schedule, [], problem
    )


def _in_words(result: TrialResult) -> str:
    recovery = "not recovered" if result.recovery_s is None else f"recovered in {result.recovery_s:.1f} s"
    toll = f"{result.lost} lost, {result.doubled} doubled, {result.cents_off} cents off"
    notes = f" ({'; '.join(result.notes)})" if result.notes else ""
    differences = "".join(f"\n    {difference}" for difference in result.differences)
    return f"{result.verdict}: {toll}; {recovery}, {result.seconds:.1f} s in all{notes}{differences}"


def _table(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults table", description="Results as a Markdown table.")
    parser.add_argument("files", nargs="+", type=Path, metavar="RESULTS")
    options = parser.parse_args(arguments)
    print(results.table(result for file in options.files for result in results.read(file)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Stream known files through the real system, inject random faults, and compare every figure.\n"
        f"faults: {', '.join(BY_NAME)}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--trials", type=int, default=200, metavar="N", help="number of trials (default: 200)")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10**6), help="seed of the first trial; the others count up"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=list(BY_NAME),
        metavar="FAULT",
        help="only this fault; may be repeated",
    )
    parser.add_argument("--short", action="store_true", help="the few trials of `make test`, from --seed")
    parser.add_argument("--minutes", type=float, default=600, help="start no trial after this time")
    parser.add_argument(
        "--out", type=Path, default=Path(".tillstream/faults.jsonl"), help="file of the results, one JSON line each"
    )
    parser.add_argument("--folder", type=Path, help="folder of the stacks (default: a temporary one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
