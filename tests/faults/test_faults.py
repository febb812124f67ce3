"""The short form of the fault suite: every kind of injury once, several at a time, on two shards; all stays exact."""

from collections.abc import Iterator

import pytest

from tests.faults.injuries import NEED_MOUNT
from tests.faults.rig import can_mount
from tests.faults.schedule import covering
from tests.faults.trial import Round

SEED = 10_000

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def mountable(tmp_path_factory: pytest.TempPathFactory) -> bool:
    return can_mount(tmp_path_factory.mktemp("mount"))


@pytest.fixture(scope="module")
def stack(mountable: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    stack = Round(tmp_path_factory.mktemp("faults"), covering(SEED, () if mountable else NEED_MOUNT))
    stack.start()
    with stack:
        yield stack


@pytest.mark.parametrize("number", range(len(covering(SEED))))
def test_nothing_is_lost_nothing_counted_twice(stack: Round, mountable: bool, number: int) -> None:
    trial = covering(SEED, () if mountable else NEED_MOUNT)[number]
    outcome = stack.run(trial)
    assert (outcome.lost, outcome.doubled, outcome.cents_off, outcome.differences) == (0, 0, 0, []), outcome
    assert outcome.recovery_s is not None
    assert outcome.exact


def test_disks_were_filled(mountable: bool) -> None:
    if not mountable:
        pytest.skip(f"not run here, for no file system can be mounted: {', '.join(sorted(NEED_MOUNT))}")
