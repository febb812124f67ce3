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
from typing import BinaryIO, Protocol, Self, TextIO, cast

from services.common.times import parse_time
from services.producer.csv_rows import BLOCK_CHARS, Block, CsvRows, Row, Unreadable

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

FINGERPRINT_BYTES = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGED = (OSError, EOFError, zlib.error)


class BadFile(Exception):
    """The file cannot be used as a source of purchases; the message is one line for a person."""


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


class Purchases(Protocol):
    """A file of purchases as numbered rows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the rows."""

    def blocks(self, start: int = 1, end: int | None = None) -> Iterator[Block]:
        """Blocks of the rows from `start` (inclusive) to `end` (exclusive). Raises BadFile on a damaged file."""


class PurchaseFile:
    """One open purchase file in the seed layout. Raises BadFile where it cannot be read or lacks a required column."""

    def __init__(self, path: Path, block_chars: int = BLOCK_CHARS) -> None:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise BadFile(f"{path} is no regular file: rows are read twice, so save them in a file (.csv or .gz) first")
        self.path = path
        self._text = _open_text(path)
        try:
            self.columns = _columns(path, self._text)
            self._rows = CsvRows(self._text, RowLayout(self.columns), block_chars=block_chars)
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
        while end is None or self._rows.row + 1 < end:
            try:
                block = self._rows.next_block(start)
            except _DAMAGED as error:
                raise BadFile(f"{self.path} cannot be read after row {self._rows.row:,}: {error}") from None
            if block is None:
                return
            block = block.cut(start, end)
            if len(block):
                yield block


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
        raise BadFile(
            f"{path} is not UTF-8 text: save it as CSV in UTF-8, or pass the mapping that "
            f"`python -m services.producer inspect {path}` writes with --mapping"
        )
    columns = tuple(name.strip() for name in next(csv.reader([header]), []))
    _check_columns(path, columns)
    return columns


def _check_columns(path: Path, columns: tuple[str, ...]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        found = ", ".join(columns)[:200]
        raise BadFile(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)} (found: {found}); another layout "
            f"needs a mapping: `python -m services.producer inspect {path}` writes it, --mapping passes it"
        )
    twice = sorted({name for name in columns if columns.count(name) > 1} & {*REQUIRED, *OPTIONAL})
    if twice:
        raise BadFile(f"{path} names a column twice: {', '.join(twice)}")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
