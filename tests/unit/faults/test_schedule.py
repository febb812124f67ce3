"""The schedule of the fault suite: a seed determines everything, and every kind of fault has its turn."""

from datetime import UTC, datetime, timedelta
from itertools import chain, combinations

import pytest

from tests.faults.injections import INJECTIONS
from tests.faults.schedule import BY_NAME, KINDS, TRIALS_A_ROUND, covering, rounds, rows_of, trial
from tests.faults.trial import fault_steps
from tests.support.shop import seed_rows

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_a_seed_repeats_its_trial() -> None:
    assert trial(1234) == trial(1234) != trial(1235)
    assert trial(1234) == next(each for block in rounds(1200, 60) for each in block if each.seed == 1234)
    assert rows_of(trial(1234), NOW) == rows_of(trial(1234), NOW)


def test_trials_of_a_round_share_the_number_of_shards() -> None:
    blocks = list(rounds(0, 5 * TRIALS_A_ROUND))
    assert [len(block) for block in blocks] == [TRIALS_A_ROUND] * 5
    assert all(len({each.shards for each in block}) == 1 for block in blocks)
    assert {block[0].shards for block in blocks} == {1, 2, 3}


def test_two_hundred_trials_meet_every_kind_alone_and_combined() -> None:
    trials = list(chain.from_iterable(rounds(0, 200)))
    alone = {each.kinds[0] for each in trials if len(each.kinds) == 1}
    combined = set(chain.from_iterable(each.kinds for each in trials if len(each.kinds) > 1))
    assert alone == combined == set(BY_NAME) == set(INJECTIONS)


def test_faults_of_a_trial_touch_different_parts() -> None:
    for each in chain.from_iterable(rounds(0, 500)):
        for one, other in combinations(each.kinds, 2):
            assert not BY_NAME[one].touches & BY_NAME[other].touches


def test_a_crash_between_shards_needs_more_than_one() -> None:
    trials = [each for seed in range(300) if "crash between scripts" in (each := trial(seed)).kinds]
    assert trials
    assert all(each.shards > 1 for each in trials)
    assert trial(25, ["crash between scripts"]).shards > 1


def test_only_some_kinds() -> None:
    assert {kind for seed in range(10) for kind in trial(seed, ["kill S3", "stop S3"]).kinds} == {"kill S3", "stop S3"}
    with pytest.raises(ValueError, match="'kill nobody' is no kind of fault; there are: kill producer"):
        trial(1, ["kill nobody"])


def test_each_fault_is_injected_before_it_is_ended() -> None:
    for each in chain.from_iterable(rounds(0, 100)):
        seen: dict[int, bool] = {}
        times = [at for at, _number, _healing in fault_steps(each)]
        assert times == sorted(times)
        for _at, number, ending in fault_steps(each):
            assert seen.get(number, False) == ending
            seen[number] = True
        assert len(seen) == len(each.faults)


def test_faults_last_as_long_as_their_kind_allows() -> None:
    for each in chain.from_iterable(rounds(0, 200)):
        for fault in each.faults:
            shortest, longest = BY_NAME[fault.kind].lasts_s
            assert shortest <= fault.lasts_s <= longest


def test_a_clock_jump_brings_times_that_are_accepted_ahead_refused_and_long_past() -> None:
    planned = trial(0, ["clock jump"])
    plain, rows = seed_rows(planned.seed, planned.rows), rows_of(planned, NOW)
    changed = [row for row, before in zip(rows, plain, strict=True) if row != before]
    assert [row[1:] for row in rows] == [row[1:] for row in plain]
    assert rows[0] == plain[0]
    assert rows[-1] == plain[-1]
    times = sorted({datetime.strptime(row[0], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC) for row in changed})
    assert len(times) == 3
    assert times[0] < NOW - timedelta(days=3000)
    assert NOW < times[1] < NOW + timedelta(hours=21)
    assert times[2] > NOW + timedelta(days=1, hours=12)


def test_kinds_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(KINDS)


def test_the_short_form_injects_every_kind_once() -> None:
    trials = covering(7)
    assert sorted(chain.from_iterable(each.kinds for each in trials)) == sorted(BY_NAME)
    assert len(trials) <= 8
    assert all(each.shards == 2 for each in trials)
