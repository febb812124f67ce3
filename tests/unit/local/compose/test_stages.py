"""The order in which services of compose.yaml start where the compose program does not keep it."""

from typing import Any

import pytest
import yaml

from local.compose.stages import Stage, stages
from local.layout import REPOSITORY

SERVICES: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]
SMALL: dict[str, Any] = {
    "store": {},
    "prepare": {"depends_on": ["store"]},
    "work": {"depends_on": {"prepare": {"condition": "service_completed_successfully"}}},
    "other": {"profiles": ["extra"], "depends_on": {"work": {"condition": "service_started"}}},
}


def test_each_stage_follows_what_it_needs() -> None:
    assert list(stages(SMALL, ["work"])) == [
        Stage(("store",), ()),
        Stage(("prepare",), ("prepare",)),
        Stage(("work",), ()),
    ]


def test_only_what_is_needed_starts() -> None:
    assert [stage.services for stage in stages(SMALL, ["prepare"])] == [("store",), ("prepare",)]


def test_a_service_of_a_profile_starts_only_when_it_is_named() -> None:
    everything = {name for stage in stages(SMALL, []) for name in stage.services}
    assert everything == {"store", "prepare", "work"}
    assert [stage.services for stage in stages(SMALL, ["other"])][-1] == ("other",)


@pytest.mark.parametrize("asked", [[], ["demo-stream", "demo-model"], ["grafana"]])
def test_nothing_of_compose_yaml_starts_before_its_needs(asked: list[str]) -> None:
    started: set[str] = set()
    succeeded: set[str] = set()
    for stage in stages(SERVICES, asked):
        for name in stage.services:
            needs = SERVICES[name].get("depends_on", {})
            assert set(needs) <= started
            conditions = needs if isinstance(needs, dict) else {}
            once = {need for need, how in conditions.items() if how["condition"] == "service_completed_successfully"}
            assert once <= succeeded
        started |= set(stage.services)
        succeeded |= set(stage.once)
    assert set(asked) <= started
