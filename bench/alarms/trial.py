"""A fault from its injection until everything is quiet again, and what fired meanwhile."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.alarms.faults import Fault
from bench.alarms.watch import Alert, Period, Seen, Watch
from local.console import say

FIRES_WITHIN_S = 1_200.0
QUIET_WITHIN_S = 900.0
# The windows of these stay bad for half an hour after a fault: they would be waited for longer than for the fault.
BURNS = "ErrorBudgetBurns"


@dataclass(slots=True)
class Finding:
    """Seconds from the injection until the alert fired, until the page showed it; from mending until it cleared.

    None: not within the time. `others`: what else fired until it was quiet again, seconds from the injection.
    """

    fault: type[Fault]
    fired: float | None = None
    shown: float | None = None
    cleared: float | None = None
    others: dict[Alert, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the alert came, was shown, and went."""
        return None not in (self.fired, self.shown, self.cleared)


async def trials(faults: Sequence[Fault], watch: Watch) -> list[Finding]:
    """Those aside at once, and meanwhile the others one after another."""
    aside = [asyncio.create_task(trial(fault, watch)) for fault in faults if fault.aside]
    ignored = {fault.alert for fault in faults if fault.aside}
    found = []
    for fault in faults:
        if not fault.aside:
            found.append(await trial(fault, watch, ignored))
    return [*await asyncio.gather(*aside), *found]


async def trial(fault: Fault, watch: Watch, ignored: set[str] | None = None) -> Finding:
    """Inject, wait for the alert, mend, wait until it has gone and, unless aside, until all is quiet."""
    finding = Finding(type(fault))
    begun = time.monotonic()
    say(f"{fault.name}: {fault.title}")
    try:
        await asyncio.to_thread(fault.inject)
        fired = await watch.until(lambda seen: _first(_of(fault, seen), begun) is not None, FIRES_WITHIN_S)
        if fired is not None:
            await watch.until(lambda seen: _first(seen.shown.get(fault.alert, []), begun) is not None, 60)
        finding.fired = _after(_first(_of(fault, watch.seen), begun), begun)
    finally:
        mended = time.monotonic()
        await asyncio.to_thread(fault.mend)
    cleared = await watch.until(lambda seen: _over(_of(fault, seen)), QUIET_WITHIN_S)
    finding.cleared = _after(cleared, mended)
    # A page whose gateway is the fault shows it once the gateway answers again.
    finding.shown = _after(_first(watch.seen.shown.get(fault.alert, []), begun), begun)
    if not fault.aside:
        await watch.until(lambda seen: _quiet(seen, ignored or set()), QUIET_WITHIN_S)
        finding.others = _others(fault, watch.seen, begun, ignored or set())
    say(f"{fault.name}: fired after {finding.fired}, shown {finding.shown}, cleared {finding.cleared}")
    return finding


def _of(fault: Fault, seen: Seen) -> list[Period]:
    """When the alert that names the fault fired."""
    return [period for alert, periods in seen.fired.items() if _names(fault, alert) for period in periods]


def _names(fault: Fault, alert: Alert) -> bool:
    return alert.name == fault.alert and (not fault.label or fault.label in alert.labels)


def _first(periods: Sequence[Period], since: float) -> float | None:
    """When the first of the periods that last, or began since then, was first seen."""
    return min((max(p.begin, since) for p in periods if p.begin >= since or p.end is None), default=None)


def _over(periods: Sequence[Period]) -> bool:
    return all(period.end is not None for period in periods)


def _after(moment: float | None, since: float) -> float | None:
    return None if moment is None else moment - since


def _quiet(seen: Seen, ignored: set[str]) -> bool:
    return not [alert for alert in seen.firing() if alert.name not in ignored and not alert.name.startswith(BURNS)]


def _others(fault: Fault, seen: Seen, begun: float, ignored: set[str]) -> dict[Alert, float]:
    found = seen.begun(begun)
    return {alert: s for alert, s in found.items() if not _names(fault, alert) and alert.name not in ignored}
