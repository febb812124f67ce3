"""Results of trials: one JSON line each, and their table."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from tests.faults.schedule import KINDS

_JSON_NAMES = {"faults": "injuries"}
COMBINED = "two or three of these at once"
HEADER = (
    "| fault | trials | in combinations | not exact | events lost | events doubled | cents off "
    "| recovery, median s | max s |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial. `recovery_s`: from the end of the last fault until all records that were in the topics then are
    applied and archived, every service is ready and the stream continues; None if that never happened."""

    seed: int
    shards: int
    rows: int
    faults: list[str]
    lost: int
    doubled: int
    cents_off: int
    recovery_s: float | None
    seconds: float
    verdict: str
    schedule: str
    notes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether the trial has shown what is promised."""
        return self.verdict == "exact"


def append(path: Path, result: TrialResult) -> None:
    """Add a trial to a file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({_JSON_NAMES.get(name, name): value for name, value in asdict(result).items()}) + "\n")


def read(path: Path) -> list[TrialResult]:
    """The trials in a file of results."""
    names = {json_name: name for name, json_name in _JSON_NAMES.items()}
    documents = (json.loads(line) for line in path.read_text().splitlines())
    return [TrialResult(**{names.get(key, key): value for key, value in each.items()}) for each in documents]


def table(results: Iterable[TrialResult]) -> str:
    """The Markdown table: a line for each fault alone, and one for all combinations."""
    alone: defaultdict[str, list[TrialResult]] = defaultdict(list)
    combined: defaultdict[str, int] = defaultdict(int)
    for result in results:
        alone[result.faults[0] if len(result.faults) == 1 else COMBINED].append(result)
        for kind in result.faults if len(result.faults) > 1 else ():
            combined[kind] += 1
    names = [kind.name for kind in KINDS if kind.name in alone or kind.name in combined]
    lines = [_line(name, alone[name], str(combined[name])) for name in names]
    if alone[COMBINED]:
        lines.append(_line(COMBINED, alone[COMBINED], ""))
    everything = [result for group in alone.values() for result in group]
    return "\n".join([HEADER, *lines, _line("all", everything, "")])


def _line(name: str, results: Sequence[TrialResult], combined: str) -> str:
    recoveries = [result.recovery_s for result in results if result.recovery_s is not None]
    times = (f"{median(recoveries):.1f}", f"{max(recoveries):.1f}") if recoveries else ("", "")
    failed = sum(not result.exact for result in results)
    sums = (sum(getattr(result, figure) for result in results) for figure in ("lost", "doubled", "cents_off"))
    return f"| {' | '.join([name, str(len(results)), combined, *map(str, (failed, *sums)), *times])} |"
