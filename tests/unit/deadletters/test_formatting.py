"""Dead letters hold whatever anybody sent: printing one must not control the operator's terminal."""

import json

import pytest

from services.common.dead_letters import RecordOrigin
from services.deadletters.dead_letter import DeadLetter
from services.deadletters.formatting import dead_letter_json, dead_letter_line, dead_letter_whole, visible

CLEARED, RETITLED, C1, BACKWARDS = "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\u202etxt.exe"
PAYLOAD = f'{{"user_id": "{CLEARED}{RETITLED}{C1}{BACKWARDS}"}}'
DEAD_LETTER = DeadLetter(RecordOrigin("purchases", 0, 3), "bad_id", CLEARED, 0, "aggregator", PAYLOAD.encode())


@pytest.mark.parametrize("render", [dead_letter_line, dead_letter_whole, dead_letter_json])
def test_a_payload_does_not_control_the_terminal(render: object) -> None:
    assert callable(render)
    shown = visible(render(DEAD_LETTER))
    assert [each for each in shown if not each.isprintable() and each not in "\n\t"] == []
    assert r"\u001b[2J" in shown


def test_the_payload_of_json_stays_what_it_is() -> None:
    assert json.loads(visible(dead_letter_json(DEAD_LETTER)))["payload"] == PAYLOAD


def test_what_people_write_stays_as_it_is() -> None:
    text = 'Käse 5 €, 日本語 "x"\n\tnext, 1\u00a0299,00\u202f€\u3000'
    assert visible(text) == text
