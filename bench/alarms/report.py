"""The findings as a table of Markdown."""

from collections.abc import Mapping, Sequence

from bench.alarms.trial import Finding
from bench.alarms.watch import Alert

HEADER = ("fault", "alert", "fires after, s", "on the page after, s", "clears after, s", "others, after s")


def markdown(findings: Sequence[Finding]) -> str:
    """One row a fault."""
    rows = [HEADER, ("---", "---", "--:", "--:", "--:", "---"), *map(_row, findings)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(finding: Finding) -> tuple[str, ...]:
    fault = finding.fault
    alert = f"{fault.alert} {fault.label}".rstrip()
    times = (finding.fired, finding.shown, finding.cleared)
    return (fault.title, alert, *map(_seconds, times), others(finding.others))


def _seconds(time: float | None) -> str:
    return "never" if time is None else f"{time:.0f}"


def others(found: Mapping[Alert, float]) -> str:
    """The first of each name and severity: `name label (page) 130`."""
    firsts: dict[tuple[str, str], tuple[Alert, float]] = {}
    for alert, seconds in sorted(found.items(), key=lambda entry: entry[1]):
        firsts.setdefault((alert.name, alert.severity), (alert, seconds))
    return ", ".join(f"{alert} ({alert.severity}) {seconds:.0f}" for alert, seconds in firsts.values()) or "none"
