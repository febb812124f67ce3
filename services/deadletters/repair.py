"""Repairs dead letters with a user's own function and validates the results. Pure but for loading that function."""

import importlib.util
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from services.common.canary import Canary
from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.events import Purchase, Rejected, parse
from services.deadletters.dead_letter import DeadLetter, Event

Repair = Callable[[Event, DeadLetter], Event | None]

EXAMPLES = 3


class BadRepairs(Exception):
    """The file of repairs cannot be used; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class ValidEvent:
    """An event that counts once it is sent: its bytes as JSON, and what they say."""

    value: bytes
    purchase: Purchase


@dataclass(frozen=True, slots=True)
class StillInvalid:
    """Why an event would be a dead letter again."""

    reason: str
    detail: str


def load_repairs(file: Path) -> Repair:
    """The function `repair(event, dead_letter)` of a Python file. Raises BadRepairs."""
    spec = importlib.util.spec_from_file_location("repairs", file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise BadRepairs(f"{file} is no Python file: give one with `def repair(event, dead_letter)`")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadRepairs(f"{file} cannot be loaded: {type(error).__name__}: {error}") from error
    repair = getattr(module, "repair", None)
    if not callable(repair):
        raise BadRepairs(f"{file} has no function `repair(event, dead_letter)`")
    found: Repair = repair
    return found


def as_is(event: Event, _dead_letter: DeadLetter) -> Event:
    """The repair that changes nothing: for dead letters that were refused by a rule which has changed since."""
    return event


def apply_repair(
    dead_letter: DeadLetter, repair: Repair, now_ms: int, rules: EventRules = DEFAULT_RULES
) -> ValidEvent | StillInvalid | None:
    """The event that a dead letter becomes, under the identity of its replay; None where `repair` leaves it out.

    `now_ms` stands for the broker's time of the replay.
    """
    try:
        event = repair(dead_letter.event, dead_letter)
    except Exception as error:  # a user's code: one dead letter that it cannot handle must not end the others
        return StillInvalid("repair_failed", f"repair() raised {type(error).__name__}: {error}")
    if event is None:
        return None
    if not isinstance(event, dict):
        return StillInvalid("repair_failed", f"repair() returned {type(event).__name__}, not a dict or None")
    try:
        # Without order_digest: a person has decided, whatever the order was when it counted.
        sent = {name: value for name, value in event.items() if name != "order_digest"}
        value = _encode({**sent, "event_id": dead_letter.replay_id, "replay_of": dead_letter.name})
    except (TypeError, ValueError) as error:
        return StillInvalid("repair_failed", f"the event is no JSON: {error}")
    return validate(value, now_ms, rules)


def validate(value: bytes, now_ms: int, rules: EventRules = DEFAULT_RULES) -> ValidEvent | StillInvalid:
    """Validate an event that is to be replayed, by the contract."""
    verdict = parse(value, now_ms, rules)
    if isinstance(verdict, Rejected):
        return StillInvalid(verdict.reason.value, verdict.detail)
    if isinstance(verdict, Canary):
        return StillInvalid("canary", "a canary is no purchase")
    if verdict.replay_of is None:
        return StillInvalid("no_origin", "replay_of is missing: without it the event would count with every replay")
    return ValidEvent(value, verdict)


def _encode(event: Event) -> bytes:
    floats = [name for name, value in event.items() if isinstance(value, float)]
    if floats:
        raise TypeError(f"{', '.join(floats)} must be text, int or Decimal: a float is not exact")
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), default=_decimal).encode()


def _decimal(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


@dataclass(slots=True)
class RepairSummary:
    """Counts and examples of repaired dead letters. `worth` is the revenue of the valid ones, in cents."""

    accepted: int = 0
    left_out: int = 0
    worth: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    changes: list[str] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def add(self, dead_letter: DeadLetter, repaired: ValidEvent | StillInvalid | None) -> None:
        """Count one dead letter."""
        match repaired:
            case ValidEvent(value, purchase):
                self.accepted += 1
                self.worth += purchase.revenue
                if len(self.changes) < EXAMPLES:
                    self.changes.append(f"{dead_letter.name}  {difference(dead_letter.event, json.loads(value))}")
            case StillInvalid(reason, detail):
                self.refuse(dead_letter.name, reason, detail)
            case None:
                self.left_out += 1

    def refuse(self, name: str, reason: str, detail: str) -> None:
        """Count one that would be a dead letter again."""
        self.refused[reason] += 1
        examples = self.faults.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(f"{name}  {detail}")


def difference(before: Event, after: Event) -> str:
    """The fields that were changed, in words; those of the replay itself are left out."""
    names = [name for name in {**before, **after} if name not in {"event_id", "replay_of", "order_digest"}]
    changed = [name for name in names if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {_shown(before, name)} → {_shown(after, name)}" for name in changed) or "unchanged"


def _shown(event: Event, name: str) -> str:
    return repr(event[name])[:60] if name in event else "nothing"
