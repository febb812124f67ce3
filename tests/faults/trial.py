"""A round: one stack, and trials on it one after the other until one fails."""

import asyncio
import itertools
import json
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from local.reference import ReferenceFigures
from local.served_figures import details, live_sections, report_sections
from local.verify import NoAnswer, report_expected, wait_until_applied
from tests.faults.compare import ArchivedLines, RecordPosition, Toll, archived, toll_of_archive, toll_of_figures
from tests.faults.fault_injection import FaultInjection
from tests.faults.injections import NEED_MOUNT, injection_of
from tests.faults.purchases_topic import new_records
from tests.faults.results import TrialResult
from tests.faults.rig import Rig
from tests.faults.schedule import FaultTrial, rows_of
from tests.support.shop import write_csv

RECOVERED_WITHIN_S = 150
FED_WITHIN_S = 150
JOB_WITHIN_S = 480
LIVE_WITHIN_S = 30


class TrialFailed(Exception):
    """The system did not come back, or a part of it ended by itself; the message says which."""


class TrialRound:
    """The stack of some trials, all that it was fed, and what was read of its topic and archive so far."""

    def __init__(self, folder: Path, trials: Sequence[FaultTrial]) -> None:
        small_disks = any(NEED_MOUNT & {*trial.kinds} for trial in trials)
        self.rig = Rig(folder, trials[0].shards, small_disks=small_disks)
        self._folder = folder
        self._topic: dict[RecordPosition, Any] = {}
        self._archive: ArchivedLines = {}

    def start(self) -> None:
        """Start the stack; where that fails, nothing of it is left running."""
        try:
            self.rig.start()
        except BaseException:
            self.rig.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.rig.stop()

    def run(self, trial: FaultTrial) -> TrialResult:
        """Stream, inject and end the faults, settle, compare."""
        started = time.monotonic()
        recovery_s: float | None = None
        injections = [injection_of(fault, self.rig, trial.seed) for fault in trial.faults]
        try:
            self._feed(trial)
            self._inject(trial, injections)
            recovery_s = self._recover()
            self._finish(trial)
            toll = self.compare()
            if "kill Spark job" in trial.kinds:
                toll += self.compare_report()
            verdict = "exact" if toll.exact else "differs"
        except Exception as error:  # whatever it is, the trials after this one go on, on a fresh stack
            where = traceback.format_exc(limit=-3)
            toll, verdict = Toll(differences=[f"{type(error).__name__}: {error}", where]), "broken"
        return TrialResult(
            trial.seed,
            trial.shards,
            trial.rows,
            trial.kinds,
            toll.lost,
            toll.doubled,
            toll.cents_off,
            None if recovery_s is None else round(recovery_s, 2),
            round(time.monotonic() - started, 1),
            verdict,
            str(trial),
            [note for injection in injections for note in injection.notes],
            toll.differences,
        )

    def _feed(self, trial: FaultTrial) -> None:
        file = self._folder / f"trial-{trial.seed}.csv"
        self.rig.files.append(write_csv(file, rows_of(trial, datetime.now(UTC))))
        self.rig.feed(file)

    def _inject(self, trial: FaultTrial, injections: Sequence[FaultInjection]) -> None:
        """Every step in order; a long one delays those after it, and no fault ends too soon."""
        begun = time.monotonic()
        injected: dict[int, float] = {}
        for at_s, number, ending in fault_steps(trial):
            earliest = injected[number] + trial.faults[number].lasts_s if ending else begun + at_s
            time.sleep(max(0.0, earliest - time.monotonic()))
            if ending:
                injections[number].end()
            else:
                injections[number].inject()
                injected[number] = time.monotonic()

    def _recover(self) -> float:
        seconds = self.rig.settle(RECOVERED_WITHIN_S)
        if seconds is None:
            raise TrialFailed(f"not recovered within {RECOVERED_WITHIN_S} s: {self.rig.waiting_for}")
        return seconds

    def _finish(self, trial: FaultTrial) -> None:
        """Wait for the rest of the stream; leave one aggregator to the next trial."""
        if not self.rig.processes["producer"].wait(FED_WITHIN_S):
            raise TrialFailed(f"the producer has not ended after {FED_WITHIN_S} s")
        for name in self.rig.aggregators[1:]:
            self.rig.end(name)
        self._recover()
        self._recover()  # applying may have made dead letters, which count too
        self.rig.require_alive()
        del self.rig.processes["producer"]

    def compare(self) -> Toll:
        """All that was fed so far against every live figure and the archive. Raises NoAnswer."""
        with closing(ReferenceFigures(self.rig.files)) as reference, self._gateway() as client:
            wait_until_applied(lambda path: _json(client, path), LIVE_WITHIN_S)
            found = live_sections(lambda path: _json(client, path), reference)
            live = toll_of_figures(reference.sections() | details(reference), found, "live")
        with closing(self.rig.store()) as store:
            self._archive = archived(store, self._archive)
        records, self.rig.compared = asyncio.run(new_records(self.rig.settings, self.rig.compared))
        self._topic |= records
        return live + toll_of_archive(self._topic, self._archive)

    def compare_report(self) -> Toll:
        """The figures of a batch job run now against all that was fed so far. Raises Broken."""
        job = self.rig.spawn(self.rig.batch_job(until="report"))
        if not job.wait(JOB_WITHIN_S) or job.exit_code:
            raise TrialFailed(f"the batch job ended with {job.exit_code}: see {job.log}")
        del self.rig.processes[job.name]
        with closing(self.rig.store()) as store, closing(ReferenceFigures(self.rig.files)) as reference:
            version = json.loads(store.get("reports/latest.json"))["version"]
            report = json.loads(store.get(f"reports/{version}/figures.json"))
            return toll_of_figures(report_expected(reference), report_sections(report), "report")

    def forget(self) -> None:
        """Read the whole archive again at the next comparison. The topic's beginning may be gone."""
        self._archive = {}

    def _gateway(self) -> httpx.Client:
        return httpx.Client(base_url=self.rig.settings.page, timeout=60)


def fault_steps(trial: FaultTrial) -> Iterator[tuple[float, int, bool]]:
    """Planned second, number of the fault, and whether it ends then, in order."""
    planned = (
        ((fault.at_s, number, False), (fault.at_s + fault.lasts_s, number, True))
        for number, fault in enumerate(trial.faults)
    )
    return iter(sorted(itertools.chain.from_iterable(planned)))


def _json(client: httpx.Client, path: str) -> Any:
    try:
        return client.get(path).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise NoAnswer(f"{path}: {error}") from None
