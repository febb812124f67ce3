"""Letters, counts and outcomes as a person or a program reads them. Pure."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from services.common.dead_letters import FileOrigin
from services.common.money import format_cents
from services.common.times import format_time
from services.deadletters.dead_letter import Letter
from services.deadletters.repair import Outcome
from services.deadletters.stats import Stats

_DETAIL_CHARS = 60
_PAYLOAD_CHARS = 80


def letter_line(letter: Letter) -> str:
    """One line of `list`."""
    detail, payload = _shortened(letter.detail, _DETAIL_CHARS), _shortened(letter.text, _PAYLOAD_CHARS)
    return (
        f"{format_time(letter.failed_at // 1000 * 1000)}  {letter.reason:<14} {letter.name:<24} {detail}\n    {payload}"
    )


def letter_json(letter: Letter) -> str:
    """The same for programs; the payload in base64 where it is no UTF-8."""
    told: dict[str, Any] = {
        "origin": letter.name,
        "source": letter.source,
        "reason": letter.reason,
        "detail": letter.detail,
        "failed_at": format_time(letter.failed_at),
        "service": letter.service,
    }
    try:
        told["payload"] = letter.value.decode()
    except UnicodeDecodeError:
        told["payload_base64"] = base64.b64encode(letter.value).decode()
    return json.dumps(told, ensure_ascii=False)


def letter_whole(letter: Letter) -> str:
    """All headers, then the payload."""
    width = max((len(name) for name in letter.headers), default=0)
    headers = [f"{name:<{width}}  {text}" for name, text in letter.headers.items()]
    return "\n".join([letter.name, *headers, f"payload, {len(letter.value):,} bytes{_rest(letter)}:", letter.text])


def _rest(letter: Letter) -> str:
    if not letter.is_cut or "cut to" not in letter.detail:
        return ""
    if isinstance(letter.origin, FileOrigin):
        return f", cut: all of it stands in {letter.origin.file}, row {letter.origin.row}"
    return ", cut: the topic no longer keeps all of it" if str(len(letter.value)) in letter.detail else ""


def stats_lines(stats: Stats, replayed: int | None) -> Iterator[str]:
    """The counts as a table, then what holds for all of them. `replayed` None: Redis was not to be reached."""
    total = stats.groups.total()
    if not total:
        yield "no dead letters"
        return
    yield f"{'day':<11} {'reason':<14} {'source':<28} {'letters':>10}"
    for (reason, source, day), count in sorted(stats.groups.items(), key=_by_day):
        yield f"{day:<11} {reason:<14} {source:<28} {count:>10,}"
    yield f"{'all':<55} {total:>10,}"
    yield f"longest run: {stats.longest:,} in a row, up to {stats.longest_ends}"
    yield (
        "replayed: unknown, Redis does not answer"
        if replayed is None
        else f"replayed: {replayed / total:.1%} ({replayed:,})"
    )


def stats_json(stats: Stats, replayed: int | None) -> Iterator[str]:
    """The same for programs: a line a group, then one for all."""
    for (reason, source, day), count in sorted(stats.groups.items(), key=_by_day):
        yield json.dumps({"day": day, "reason": reason, "source": source, "letters": count}, ensure_ascii=False)
    whole = {"letters": stats.groups.total(), "longest_run": stats.longest, "replayed": replayed}
    yield json.dumps(whole)


def _by_day(group: tuple[tuple[str, str, str], int]) -> tuple[str, str, str]:
    (reason, source, day), _ = group
    return day, reason, source


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """What was or would be accepted, what is still wrong, and a few examples of both."""
    wrong = outcome.refused.total()
    letters = outcome.accepted + outcome.left_out + wrong
    worth = f" worth {format_cents(outcome.worth)}" if outcome.accepted else ""
    yield f"{letters:,} in all: {outcome.accepted:,} valid{worth}, {wrong:,} still wrong, {outcome.left_out:,} left out"
    yield from (f"  {change}" for change in outcome.changes)
    if len(outcome.changes) < outcome.accepted and outcome.changes:
        yield f"  and {outcome.accepted - len(outcome.changes):,} more"
    for reason, count in outcome.refused.most_common():
        yield f"still wrong, {reason}: {count:,}"
        yield from (f"  {fault}" for fault in outcome.faults[reason])


def _shortened(text: str, length: int) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= length else f"{one_line[: length - 1]}…"
