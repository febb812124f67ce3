"""Bar charts as SVG text, with the 95 % interval of each bar. No script, no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABEL, FIGURE = 780, 230, 180
ROW, GAP, TOP = 26, 8, 8


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with its interval. `leading`: the method that the chart highlights."""

    label: str
    value: float
    low: float
    high: float
    leading: bool = False


def bars(entries: Sequence[Bar], title: str) -> str:
    """Horizontal bars, one per row, each with an error bar and its figure in per cent."""
    largest = max((entry.high for entry in entries), default=0.0) or 1.0
    rows = [_row(entry, TOP + place * ROW, largest) for place, entry in enumerate(entries)]
    return _svg(rows, TOP * 2 + len(entries) * ROW, title)


def grouped(groups: Mapping[str, Sequence[Bar]], title: str) -> str:
    """Groups of bars, each below a heading, all to one scale."""
    largest = max((entry.high for entries in groups.values() for entry in entries), default=0.0) or 1.0
    rows, y = [], TOP
    for name, entries in groups.items():
        rows.append(f'<text class="head" x="0" y="{y + 17}">{escape(name)}</text>')
        y += ROW
        for entry in entries:
            rows.append(_row(entry, y, largest))
            y += ROW
        y += GAP
    return _svg(rows, y, title)


def _row(entry: Bar, y: int, largest: float) -> str:
    scale = (WIDTH - LABEL - FIGURE) / largest
    middle, length = y + ROW // 2, entry.value * scale
    low, high = LABEL + entry.low * scale, LABEL + entry.high * scale
    kind = "leading" if entry.leading else "other"
    return (
        f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(entry.label)}</text>'
        f'<rect class="{kind}" x="{LABEL}" y="{y + 4}" width="{length:.1f}" height="{ROW - 8}" rx="2"/>'
        f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8"/>'
        f'<text x="{max(high, LABEL + length) + 8:.1f}" y="{middle + 4}">{entry.value:.2%}'
        f' <tspan class="interval">{entry.low:.2%} – {entry.high:.2%}</tspan></text>'
    )


def _svg(rows: Sequence[str], height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(rows)}</svg>"
    )
