"""Category codes: levels joined by dots, such as `electronics.audio.headphone`."""

UNKNOWN = "unknown"
"""Shown, and counted under, where a category, a brand or a product's name is absent."""

OTHER = "other"
"""Brands, categories and products beyond the aggregator's budgets are counted under it."""


def levels(code: str) -> tuple[str, ...]:
    """A code and its prefixes, the broadest first: `a.b.c` → `a`, `a.b`, `a.b.c`."""
    parts = code.split(".")
    return tuple(".".join(parts[: depth + 1]) for depth in range(len(parts)))


def is_within(code: str, category: str) -> bool:
    """Whether a code is the category or lies below it."""
    return code == category or code.startswith(f"{category}.")
