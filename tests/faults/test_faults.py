"""The short form of the fault suite: every kind of fault once, several at a time, on two shards; all stays exact."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.faults.injections import NEED_MOUNT
from tests.faults.rig import can_mount
from tests.faults.schedule import FaultTrial, covering
from tests.faults.trial import TrialRound

TRIALS = covering(seed=10_000)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def mountable(tmp_path_factory: pytest.TempPathFactory) -> bool:
    return can_mount(tmp_path_factory.mktemp("mount"))


@pytest.fixture(scope="module")
def stack(mountable: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialRound]:
    stack = TrialRound(tmp_path_factory.mktemp("faults"), [possible(trial, mountable) for trial in TRIALS])
    stack.start()
    with stack:
        yield stack


def possible(trial: FaultTrial, mountable: bool) -> FaultTrial:
    """The trial, without full disks where no file system can be mounted."""
    faults = (fault for fault in trial.faults if mountable or fault.kind not in NEED_MOUNT)
    return replace(trial, faults=tuple(faults))


@pytest.mark.parametrize("planned", TRIALS, ids=lambda trial: ", ".join(trial.kinds))
def test_nothing_is_lost_nothing_counted_twice(
    stack: TrialRound, mountable: bool, planned: FaultTrial, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = possible(planned, mountable)
    if left_out := {*planned.kinds} - {*trial.kinds}:
        with capsys.disabled():
            print(f"\nnot run here, for no file system can be mounted: {', '.join(sorted(left_out))}")
    outcome = stack.run(trial)
    assert (outcome.lost, outcome.doubled, outcome.cents_off, outcome.differences) == (0, 0, 0, []), outcome
    assert outcome.recovery_s is not None
    assert outcome.exact
