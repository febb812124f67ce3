"""What bench.alarms makes of the alerts that it sees."""

from dataclasses import replace
from typing import Any, cast

from bench.alarms.faults import ALL, Fault
from bench.alarms.report import markdown
from bench.alarms.trial import Finding, trial, trials
from bench.alarms.watch import Alert, Period, Seen, Watch, firing_in, note
from local.monitoring.__main__ import prometheus_rule

NAMED = Alert("PartitionStalled", "page", ("2",))
OTHER = Alert("CanaryLost", "page", ("figures",))


def answer(*alerts: tuple[str, str]) -> dict[str, Any]:
    labels = {"severity": "page", "instance": "127.0.0.1:1", "check": "kafka"}
    return {"data": {"alerts": [{"state": state, "labels": {"alertname": name, **labels}} for name, state in alerts]}}


class Switch(Fault):
    """An alert, and another one, that fire as soon as it is injected; the other one ends with it or not at all."""

    name, title, alert, label = "switch", "a switch", "PartitionStalled", "2"

    def __init__(self, seen: Seen, *, shown: bool = True) -> None:
        super().__init__(cast(Any, None))
        self._seen = seen
        self._shown = shown

    def inject(self) -> None:
        begun = 10**9  # later than any moment of this process's clock
        self._seen.fired = {NAMED: [Period(begun)], OTHER: [Period(begun)]}
        self._seen.shown = {NAMED.name: [Period(begun)]} if self._shown else {}

    def mend(self) -> None:
        for periods in [*self._seen.fired.values(), *self._seen.shown.values()]:
            periods[-1].end = periods[-1].begin


class Aside(Switch):
    name, alert, aside = "aside", "CanaryLost", True
    label = "figures"


def watch() -> Watch:
    return Watch("http://nowhere", "http://nowhere")


def test_an_alert_has_the_labels_that_tell_it_from_others_of_its_name() -> None:
    firing = firing_in(answer(("CheckFailing", "firing"), ("FiguresLag", "pending"), ("Watchdog", "firing")))
    assert firing == {Alert("CheckFailing", "page", ("kafka",))}
    assert [str(alert) for alert in firing] == ["CheckFailing kafka"]


def test_each_time_that_an_alert_fires_is_a_period() -> None:
    seen = Seen()
    for now, firing in enumerate(({NAMED}, {NAMED, OTHER}, set(), {NAMED})):
        note(seen.fired, firing, float(now))
    assert seen.fired == {NAMED: [Period(0, 2), Period(3)], OTHER: [Period(1, 2)]}
    assert seen.firing() == {NAMED}
    assert seen.begun(0.5) == {NAMED: 2.5, OTHER: 0.5}


async def test_a_fault_is_mended_once_its_alert_has_fired() -> None:
    watching = watch()
    found = await trial(Switch(watching.seen), watching)
    assert found.complete
    assert set(found.others) == {OTHER}
    assert watching.seen.firing() == set()


async def test_an_alert_that_never_fires_is_a_finding(monkeypatch: Any) -> None:
    monkeypatch.setattr("bench.alarms.trial.FIRES_WITHIN_S", 0.0)
    watching = watch()
    fault = Switch(watching.seen)
    fault.label = "another partition"  # type: ignore[misc]  # this one's own
    found = await trial(fault, watching)
    assert (found.fired, found.complete) == (None, False)
    assert "| never |" in markdown([found])


async def test_what_a_fault_aside_fires_is_not_said_of_another_one() -> None:
    watching = watch()
    aside, other = await trials([Aside(watching.seen), Switch(watching.seen)], watching)
    assert (aside.fault, aside.others) == (Aside, {})
    assert (other.fault, other.others) == (Switch, {})


def test_the_table_has_seconds_and_the_first_of_each_other_alert() -> None:
    found = Finding(Switch, fired=61.4, shown=63.0, cleared=12.2, others={OTHER: 90.0})
    later = replace(OTHER, labels=("log",))
    row = markdown([replace(found, others={later: 99.0, OTHER: 90.0})]).splitlines()[-1]
    assert row == "| a switch | PartitionStalled 2 | 61 | 63 | 12 | CanaryLost figures (page) 90 |"
    assert markdown([replace(found, others={})]).endswith("| none |")


def test_every_fault_names_an_alert_that_is_shipped_and_itself_once() -> None:
    groups = prometheus_rule()["spec"]["groups"]
    shipped = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert {fault.alert for fault in ALL} <= shipped
    assert len({fault.name for fault in ALL}) == len(ALL) >= 10
