"""Dead letters, counts and results of repairs as text or JSON. Pure."""

import base64
import json
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

from services.common.dead_letters import FileOrigin
from services.common.money import format_cents
from services.common.times import format_time
from services.deadletters.dead_letter import DeadLetter
from services.deadletters.order_log import ChangedOrder, LineState
from services.deadletters.repair import RepairSummary
from services.deadletters.stats import Stats

_DETAIL_CHARS = 60
_PAYLOAD_CHARS = 80


def visible(text: str) -> str:
    """Text that a terminal shows and does not obey: what controls it is written as JSON's escapes, lines stay."""
    return "".join(each if _is_harmless(each) else json.dumps(each)[1:-1] for each in text)


def _is_harmless(character: str) -> bool:
    """Python calls no space but U+0020 printable; prices have others, as 1\u202f299,00 €."""
    return character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"


def dead_letter_line(dead_letter: DeadLetter) -> str:
    """One line of `list`."""
    detail, payload = _shortened(dead_letter.detail, _DETAIL_CHARS), _shortened(dead_letter.text, _PAYLOAD_CHARS)
    failed_at = format_time(dead_letter.failed_at // 1000 * 1000)
    return f"{failed_at}  {dead_letter.reason:<14} {dead_letter.name:<24} {detail}\n    {payload}"


def dead_letter_json(dead_letter: DeadLetter) -> str:
    """The same for programs; the payload in base64 where it is no UTF-8."""
    fields: dict[str, Any] = {
        "origin": dead_letter.name,
        "source": dead_letter.source,
        "reason": dead_letter.reason,
        "detail": dead_letter.detail,
        "failed_at": format_time(dead_letter.failed_at),
        "service": dead_letter.service,
    }
    try:
        fields["payload"] = dead_letter.value.decode()
    except UnicodeDecodeError:
        fields["payload_base64"] = base64.b64encode(dead_letter.value).decode()
    return json.dumps(fields, ensure_ascii=False)


def dead_letter_whole(dead_letter: DeadLetter) -> str:
    """All headers, then the payload."""
    width = max((len(name) for name in dead_letter.headers), default=0)
    headers = [f"{name:<{width}}  {text}" for name, text in dead_letter.headers.items()]
    return "\n".join(
        [
            dead_letter.name,
            *headers,
            f"payload, {len(dead_letter.value):,} bytes{_rest(dead_letter)}:",
            dead_letter.text,
        ]
    )


def _rest(dead_letter: DeadLetter) -> str:
    if not dead_letter.is_cut or "cut to" not in dead_letter.detail:
        return ""
    if isinstance(dead_letter.origin, FileOrigin):
        return f", cut: all of it is in {dead_letter.origin.file}, row {dead_letter.origin.row}"
    return ", cut: the topic no longer keeps all of it" if str(len(dead_letter.value)) in dead_letter.detail else ""


def order_lines(order: ChangedOrder) -> Iterator[str]:
    """An order that changed as text, a line of the order each."""
    states = Counter(line.state for line in order.lines)
    yield (
        f"order {order.order_id}: {states[LineState.UNCHANGED]} lines as counted, {states[LineState.GONE]} counted and "
        f"gone, {states[LineState.NEW]} new and not counted"
    )
    for state, _, purchase in order.lines:
        customer = purchase.user_id or "anonymous"
        sold = f"{purchase.quantity} x {purchase.product_id}  {format_cents(purchase.revenue)}"
        yield f"  {state} {format_time(purchase.event_time)}  {sold}  {customer}"


def order_json(order: ChangedOrder) -> Iterator[str]:
    """The same for programs: one object."""
    lines = [
        {
            "state": {"=": "unchanged", "-": "gone", "+": "new"}[state],
            "partition": place.partition,
            "offset": place.offset,
            "event_time": format_time(purchase.event_time),
            "product_id": purchase.product_id,
            "user_id": purchase.user_id,
            "quantity": purchase.quantity,
            "revenue": format_cents(purchase.revenue),
        }
        for state, place, purchase in order.lines
    ]
    yield json.dumps({"order_id": order.order_id, "lines": lines}, ensure_ascii=False)


def stats_lines(stats: Stats, replayed: int | None) -> Iterator[str]:
    """The counts as a table, then what holds for all of them. `replayed` None: Redis was not to be reached."""
    total = stats.groups.total()
    if not total:
        yield "no dead letters"
        return
    yield f"{'day':<11} {'reason':<14} {'source':<28} {'dead letters':>12}"
    for (reason, source, day), count in sorted(stats.groups.items(), key=_by_day):
        yield f"{day:<11} {reason:<14} {source:<28} {count:>12,}"
    yield f"{'all':<55} {total:>12,}"
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


def summary_lines(summary: RepairSummary) -> Iterator[str]:
    """How many are valid and how many still invalid, with a few examples of both."""
    wrong = summary.refused.total()
    total = summary.accepted + summary.left_out + wrong
    worth = f" worth {format_cents(summary.worth)}" if summary.accepted else ""
    yield f"{total:,} in all: {summary.accepted:,} valid{worth}, {wrong:,} still wrong, {summary.left_out:,} left out"
    yield from (f"  {change}" for change in summary.changes)
    if len(summary.changes) < summary.accepted and summary.changes:
        yield f"  and {summary.accepted - len(summary.changes):,} more"
    for reason, count in summary.refused.most_common():
        yield f"still wrong, {reason}: {count:,}"
        yield from (f"  {fault}" for fault in summary.faults[reason])


def _shortened(text: str, length: int) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= length else f"{one_line[: length - 1]}…"
