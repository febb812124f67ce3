"""A file of any layout as a purchase file: blocks of rows in the seed layout, numbered from 1."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from services.producer.csv_rows import Block, Row, Unreadable, csv_line
from services.producer.layouts.containers import open_table
from services.producer.layouts.lines import COLUMNS, Line, Lines
from services.producer.layouts.mapping import Mapping
from services.producer.source import BadFile

_BLOCK_ROWS = 4000


class MappedFile:
    """One open file that is read by a mapping. Rows that the mapping leaves out have no number.

    The text of a row, which a dead letter keeps, is the row in the seed layout followed by all its fields as they stood
    in the file. Raises BadFile where the file cannot be read or lacks a column.
    """

    columns = COLUMNS

    def __init__(self, path: Path, mapping: Mapping) -> None:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise BadFile(f"{path} is no regular file: rows are read twice, so save them in a file first")
        with ExitStack() as opened:
            torn = _TornRows()
            table = opened.enter_context(open_table(path, mapping.text, mapping.sheet, torn))
            self.lines = torn.lines = Lines(mapping, table.columns)
            self._rows = self.lines.of(table.rows)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def blocks(self, start: int = 1, end: int | None = None) -> Iterator[Block]:
        """Blocks of the rows from `start` (inclusive) to `end` (exclusive). Raises BadFile on a damaged file."""
        first = 1
        while (end is None or first < end) and (lines := list(islice(self._rows, _BLOCK_ROWS))):
            block = Block(first, [line.row for line in lines], [_text(line) for line in lines]).cut(start, end)
            first += len(lines)
            if len(block):
                yield block


class _TornRows:
    """Recognises rows that a stray quote has joined: one of the further lines is a row by itself."""

    lines: Lines

    def is_torn(self, row: Row, lines: Sequence[str]) -> bool:
        """Whether a row of several lines is none."""
        if isinstance(row, Unreadable):
            return True
        delimiter = self.lines.delimiter
        try:
            list(csv.reader(lines, delimiter=delimiter, strict=True))
            return any(self.lines.is_row(next(csv.reader([line], delimiter=delimiter), [])) for line in lines[1:])
        except csv.Error:
            return True


def _text(line: Line) -> str:
    if isinstance(line.row, Unreadable):
        return line.source.text
    source = line.source.fields
    return csv_line([*line.row, *([] if isinstance(source, Unreadable) else source)])
