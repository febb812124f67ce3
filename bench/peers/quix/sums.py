"""Sums of events as our producer sends them: valid, with times in UTC. Pure, without Quix Streams."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def add_up(events: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    """(table, `r|` or `q|` and name) → revenue in cents, pieces."""
    sums: Counter[tuple[str, str]] = Counter()
    for event in events:
        quantity, revenue = int(event.get("quantity", 1)), cents(event["price"])
        revenue = cents(event["amount"]) if "amount" in event else revenue * quantity
        for table, name in counters(event):
            sums[table, f"r|{name}"] += revenue
            sums[table, f"q|{name}"] += quantity
    return sums


def counters(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Table and name of each counter that an event changes. Times are UTC, as our producer sends them."""
    time, code = event["event_time"], event.get("category_code", "unknown")
    found = [("month", time[:7]), ("day", time[:10]), ("product", event["product_id"])]
    if "user_id" in event:
        found.append(("customer", event["user_id"]))
    levels = code.split(".")
    found += (("category", ".".join(levels[: depth + 1])) for depth in range(len(levels)))
    return found


def cents(decimal: str) -> int:
    """Cents of a decimal with at most two places."""
    whole, _, fraction = decimal.partition(".")
    amount = int(whole.lstrip("-") or 0) * 100 + int(fraction.ljust(2, "0"))
    return -amount if decimal.startswith("-") else amount
