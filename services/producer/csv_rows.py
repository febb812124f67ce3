"""Text as rows of CSV, block by block: a stray quote damages its own line alone, and every row keeps its text."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TextIO

BLOCK_CHARS = 512 * 1024  # about 4,000 rows: long enough to compress well, short enough to stop at


class Unreadable(NamedTuple):
    """A row that the CSV reader could not split into fields, and why."""

    detail: str


Row = list[str] | Unreadable


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows, the first of them numbered `first`, each with its original text."""

    first: int
    rows: list[Row]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, start: int, end: int | None) -> "Block":
        """The part of the block within the row numbers start (inclusive) to end (exclusive)."""
        low = max(start - self.first, 0)
        high = None if end is None else max(end - self.first, 0)
        if low == 0 and (high is None or high >= len(self)):
            return self
        return Block(self.first + low, self.rows[low:high], self.texts[low:high])


class TornRows(Protocol):
    """Tells a field of several lines from rows that a stray quote has joined."""

    def is_torn(self, row: Row, lines: Sequence[str]) -> bool:
        """Whether a row of several lines is none."""


class CsvRows:
    """The rows of a text from where it stands. `row` is the number of rows so far."""

    def __init__(self, text: TextIO, layout: TornRows, delimiter: str = ",", block_chars: int = BLOCK_CHARS) -> None:
        self._text = text
        self._layout = layout
        self._delimiter = delimiter
        self._block_chars = block_chars
        self.row = 0

    def next_block(self, start: int = 1) -> Block | None:
        """The next rows, which may be passed over as long as they lie before `start`; None at the end."""
        while lines := self._text.readlines(self._block_chars):
            if not self._passes_over(lines, start):
                return self._block(lines)
        return None

    def _passes_over(self, lines: list[str], start: int) -> bool:
        """Count lines before `start` without splitting them, where a line is surely a row."""
        if start <= 1 or _quoted(lines):
            return False
        last = self.row + len(lines) - _blank(lines)
        if last >= start:
            return False
        self.row = last
        return True

    def _block(self, lines: list[str]) -> Block:
        block = self._split_plain(lines) or self._split_carefully(lines)
        self.row += len(block)
        return block

    def _split_plain(self, lines: list[str]) -> Block | None:
        if _quoted(lines):
            return None
        try:
            rows: list[Row] = list(csv.reader(lines, delimiter=self._delimiter))
        except csv.Error:
            return None
        if _blank(lines):
            lines = [line for line, row in zip(lines, rows, strict=True) if row]
            rows = [row for row in rows if row]
        return Block(self.row + 1, rows, lines)

    def _split_carefully(self, lines: list[str]) -> Block:
        """Row by row: a quoted field may hold line ends, even beyond this block, and one bad row harms no other."""
        feed = _Feed(lines, self._text)
        reader = csv.reader(feed, delimiter=self._delimiter)
        block = Block(self.row + 1, [], [])
        while feed.unread:
            row = _next_row(reader)
            taken = feed.taken()
            if len(taken) > 1 and self._layout.is_torn(row, taken):
                # A stray quote took following rows into its field: only its own line is damaged.
                feed.give_back(taken[1:])
                row, taken = Unreadable("a quote opens a field and is not closed in this line"), taken[:1]
            if row:
                block.rows.append(row)
                block.texts.append("".join(taken))
        return block


class _Feed:
    """Lines for a CSV reader, which remembers the text of those it took for the current row."""

    def __init__(self, lines: list[str], beyond: TextIO) -> None:
        self._lines = lines
        self._beyond = beyond
        self._next = 0
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.unread:
            if not (line := self._beyond.readline()):
                raise StopIteration
            self._lines.append(line)
        line = self._lines[self._next]
        self._next += 1
        self._taken.append(line)
        return line

    @property
    def unread(self) -> bool:
        return self._next < len(self._lines)

    def taken(self) -> list[str]:
        taken, self._taken = self._taken, []
        return taken

    def give_back(self, lines: list[str]) -> None:
        """Lines that were taken last, to be read again."""
        self._lines[self._next - len(lines) : self._next] = lines
        self._next -= len(lines)


def _next_row(reader: Iterator[list[str]]) -> Row:
    try:
        return next(reader)
    except csv.Error as error:
        return Unreadable(str(error))


def original_bytes(text: str) -> bytes:
    """The bytes of a row as they stood in the file, without the line's end."""
    return text.rstrip("\r\n").encode("utf-8", "surrogateescape")


def of_width(row: Row, width: int) -> Row:
    """The row with the header's width: what follows may only be empty."""
    if isinstance(row, Unreadable) or len(row) == width:
        return row
    if len(row) > width and not any(row[width:]):
        return row[:width]
    return Unreadable(f"{len(row)} fields where the header has {width} columns")


def csv_line(fields: Sequence[str]) -> str:
    """Fields as one line of CSV, without the line's end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _quoted(lines: list[str]) -> bool:
    return any('"' in line for line in lines)


def _blank(lines: list[str]) -> int:
    return lines.count("\n") + lines.count("\r\n") + lines.count("\r")
