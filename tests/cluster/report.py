"""Tables of results: printed at the end of the run and written as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Row = Mapping[str, str | int | float | None]


@dataclass(slots=True)
class Report:
    """Rows by the title of their table."""

    tables: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, table: str, row: Row) -> None:
        """One more row; the first of a table names its columns."""
        self.tables.setdefault(table, []).append(row)

    def write(self, file: Path) -> None:
        """All tables as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.tables, indent=1) + "\n")

    def __str__(self) -> str:
        return "\n\n".join(f"{title}\n{_aligned(rows)}" for title, rows in self.tables.items())


def _aligned(rows: Sequence[Row]) -> str:
    columns = list(rows[0])
    cells = [columns, *([_text(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _text(value: str | int | float | None) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case _:
            return value
