"""A purchase file as numbered rows: plain or gzip, read in blocks, nothing but bad files stops it.

Row numbers count data rows from 1; blank lines are no rows. Bytes that are not UTF-8 survive as surrogates, so that
one bad row becomes one dead letter with its original bytes instead of the end of the file.
"""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self, TextIO, cast

from services.common.times import parse_time

REQUIRED = (
    "event_time",
    "order_id",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
)
SHORT_ROW_FIELDS = 6
OPTIONAL = ("quantity", "amount", "product_name", "event_id")

BLOCK_CHARS = 512 * 1024  # about 4,000 rows: long enough to compress well, short enough to stop at
FINGERPRINT_BYTES = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGED = (OSError, EOFError, zlib.error)


class BadFile(Exception):
    """The file cannot be used as a source of purchases; the message is one line for a person."""


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


@dataclass(frozen=True, slots=True)
class FileFingerprint:
    """Length and hash of the file's first bytes (after decompression): a checkpoint recognises its file by it."""

    length: int
    sha256: str


class RowLayout:
    """What a row of the file looks like: it tells a field of several lines from rows that a stray quote has joined."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._width = len(columns)
        self._time = columns.index("event_time")
        self.begins_as_seed = tuple(columns[: len(REQUIRED)]) == REQUIRED

    def has_width(self, row: Sequence[str]) -> bool:
        """Whether the row has as many fields as the header, or is a short row."""
        return len(row) == self._width or self.is_short(row)

    def is_short(self, row: Sequence[str]) -> bool:
        """Whether it lacks three of the seed's columns, and with them whatever columns follow the seed's."""
        return self.begins_as_seed and len(row) == SHORT_ROW_FIELDS and row[3] == ""

    def is_torn(self, row: Row, lines: Sequence[str]) -> bool:
        """Whether a row of several lines is none: it is no CSV, or one of its further lines is a row by itself."""
        if isinstance(row, Unreadable):
            return True
        try:
            list(csv.reader(lines, strict=True))
            return any(self._is_row(next(csv.reader([line]), [])) for line in lines[1:])
        except csv.Error:
            return True

    def _is_row(self, fields: Sequence[str]) -> bool:
        if not self.has_width(fields):
            return False
        try:
            parse_time(fields[self._time])
        except ValueError:
            return False
        return True


class PurchaseFile:
    """One open purchase file. Raises BadFile where it cannot be read or lacks a required column."""

    def __init__(self, path: Path, block_chars: int = BLOCK_CHARS) -> None:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise BadFile(f"{path} is no regular file: rows are read twice, so save them in a file (.csv or .gz) first")
        self.path = path
        self._block_chars = block_chars
        self._text = _open_text(path)
        self._row = 0
        try:
            self.columns = _columns(path, self._text)
            self._layout = RowLayout(self.columns)
        except BaseException:
            self._text.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()

    def blocks(self, start: int = 1, end: int | None = None) -> Iterator[Block]:
        """Blocks of the rows from `start` (inclusive) to `end` (exclusive). Raises BadFile on a damaged file."""
        while end is None or self._row + 1 < end:
            try:
                block = self._next_block(start)
            except _DAMAGED as error:
                raise BadFile(f"{self.path} cannot be read after row {self._row:,}: {error}") from None
            if block is None:
                return
            block = block.cut(start, end)
            if len(block):
                yield block

    def _next_block(self, start: int) -> Block | None:
        while lines := self._text.readlines(self._block_chars):
            if not self._passes_over(lines, start):
                return self._block(lines)
        return None

    def _passes_over(self, lines: list[str], start: int) -> bool:
        """Count lines before `start` without splitting them, where a line is surely a row."""
        if start <= 1 or _quoted(lines):
            return False
        last = self._row + len(lines) - _blank(lines)
        if last >= start:
            return False
        self._row = last
        return True

    def _block(self, lines: list[str]) -> Block:
        block = self._split_plain(lines) or self._split_carefully(lines)
        self._row += len(block)
        return block

    def _split_plain(self, lines: list[str]) -> Block | None:
        if _quoted(lines):
            return None
        try:
            rows: list[Row] = list(csv.reader(lines))
        except csv.Error:
            return None
        if _blank(lines):
            lines = [line for line, row in zip(lines, rows, strict=True) if row]
            rows = [row for row in rows if row]
        return Block(self._row + 1, rows, lines)

    def _split_carefully(self, lines: list[str]) -> Block:
        """Row by row: a quoted field may hold line ends, even beyond this block, and one bad row harms no other."""
        feed = _Feed(lines, self._text)
        reader = csv.reader(feed)
        block = Block(self._row + 1, [], [])
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


def csv_line(fields: Sequence[str]) -> str:
    """Fields as one line of CSV, without the line's end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def fingerprint(path: Path, length: int = FINGERPRINT_BYTES) -> FileFingerprint:
    """The fingerprint of the file's first `length` bytes, or of all of them in a shorter file."""
    try:
        with _open_bytes(path) as file:
            begin = file.read(length)
    except _DAMAGED as error:
        raise BadFile(f"{path} cannot be read: {error}") from None
    return FileFingerprint(len(begin), hashlib.sha256(begin).hexdigest())


def default_source(path: Path) -> str:
    """The source's name: the file's base name without .gz, so that packing a file does not rename its rows."""
    return path.name.removesuffix(".gz")


def _open_bytes(path: Path) -> BinaryIO:
    file = path.open("rb")
    if file.peek(2)[:2] != _GZIP_MAGIC:
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path))


def _open_text(path: Path) -> TextIO:
    try:
        file = _open_bytes(path)
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}") from None
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _columns(path: Path, text: TextIO) -> tuple[str, ...]:
    try:
        header = text.readline()
    except _DAMAGED as error:
        raise BadFile(f"{path} cannot be read: {error}") from None
    if not header.strip():
        raise BadFile(f"{path} is empty: a header line with the columns is needed")
    if not _is_unicode(header) or "\x00" in header:
        raise BadFile(f"{path} is not UTF-8 text: save it as CSV in UTF-8")
    columns = tuple(name.strip() for name in next(csv.reader([header]), []))
    _check_columns(path, columns)
    return columns


def _check_columns(path: Path, columns: tuple[str, ...]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        found = ", ".join(columns)[:200]
        raise BadFile(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)} (found: {found})")
    twice = sorted({name for name in columns if columns.count(name) > 1} & {*REQUIRED, *OPTIONAL})
    if twice:
        raise BadFile(f"{path} names a column twice: {', '.join(twice)}")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _quoted(lines: list[str]) -> bool:
    return any('"' in line for line in lines)


def _blank(lines: list[str]) -> int:
    return lines.count("\n") + lines.count("\r\n") + lines.count("\r")
