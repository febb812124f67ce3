"""The short form of `make fuzz`: mutated messages, validated on every path of the system."""

from collections import Counter
from pathlib import Path

import pytest

from services.common.events import Purchase, Reason, parse
from tests.fuzz import __main__ as fuzz
from tests.fuzz import invariants
from tests.fuzz.invariants import Broken, judge
from tests.fuzz.mutator import every_literal, message, messages
from tests.fuzz.seeds import BROKER_MS, FIELDS, quoted, valid_messages, written

COUNT = 20_000


def test_every_mutated_message_has_one_verdict() -> None:
    verdicts = Counter(judge(value, BROKER_MS).verdict for _number, value in messages(7, 0, COUNT))
    assert sum(verdicts.values()) == COUNT
    # The mutator is worth its time only while it reaches every verdict, and most of what it makes is no plain rubbish.
    given_elsewhere = {Reason.BAD_ROW, Reason.ORDER_CHANGED, Reason.CANNOT_APPLY}
    assert set(verdicts) == {"purchase", *map(str, Reason)} - given_elsewhere
    assert verdicts["purchase"] > COUNT / 5
    assert verdicts["not_json"] < COUNT / 2


def test_the_seeds_are_purchases() -> None:
    for pairs in valid_messages():
        assert isinstance(parse(written(pairs), BROKER_MS), Purchase), pairs


def test_every_odd_literal_in_every_field() -> None:
    usual = {
        quoted(name): value for name, value in [("order_id", b'"1"'), ("product_id", b'"2"'), ("price", b'"1.10"')]
    }
    usual[quoted("event_time")] = b'"2020-04-24T11:50:39Z"'
    for name in [*FIELDS, "unknown"]:
        for literal in every_literal():
            judge(written(list((usual | {quoted(name): literal}).items())), BROKER_MS)


def test_a_message_can_be_made_again() -> None:
    assert [message(3, number) for number in range(50)] == [value for _number, value in messages(3, 0, 50)]
    assert message(3, 1) != message(4, 1)


def test_a_broken_promise_is_reported_with_its_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(invariants, "DEFAULT_MAX_LINE_CENTS", 1)
    with pytest.raises(Broken, match="revenue is"):
        judge(written(next(valid_messages())), BROKER_MS)
    assert fuzz.main(["--messages", "100", "--save", str(tmp_path)]) == 1
    assert "of seed 1: revenue is" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 1
