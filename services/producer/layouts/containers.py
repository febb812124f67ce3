"""What a file is, whatever its name, and its table as rows of texts: CSV, gzip, zip, JSON lines, .xlsx, Parquet.

The libraries are loaded when a file needs them: the seed layout needs none.
"""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO, cast

import msgspec

from services.common.money import without_exponent
from services.producer.csv_rows import CsvRows, Row, TornRows, Unreadable
from services.producer.layouts.mapping import TextForm
from services.producer.source import BadFile

_DAMAGED = (OSError, EOFError, zlib.error, zipfile.BadZipFile)
_GZIP, _ZIP, _PARQUET, _OLD_EXCEL = b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0"
_JSON_COLUMNS_FROM = 1000  # lines
_FETCH = 4096


class Container(StrEnum):
    """What holds the table."""

    TEXT = "text"
    JSON_LINES = "JSON lines"
    WORKBOOK = "Excel workbook"
    PARQUET = "Parquet"


class TableRow(NamedTuple):
    """A row's fields, and its text as it stood in the file; "" of a file that is no text."""

    fields: Row
    text: str


class Table(NamedTuple):
    """A header and its rows, in the file's order."""

    columns: tuple[str, ...]
    rows: Iterator[TableRow]


def container_of(path: Path) -> Container:
    """What the file is, by its content. Raises BadFile."""
    with _readable(path):
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == _PARQUET:
            return Container.PARQUET
        if magic == _ZIP and _is_workbook(path):
            return Container.WORKBOOK
        if magic == _OLD_EXCEL:
            raise BadFile(f"{path} is an old Excel file: save it as .xlsx or as CSV in UTF-8")
        begin = first_bytes(path, 4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if begin.startswith((_ZIP, _PARQUET, _GZIP)):
        raise BadFile(f"{path} holds another packed file: unpack it first")
    if begin.startswith(b"["):
        raise BadFile(f"{path} is one JSON array: write one object a line, for example with `jq -c '.[]'`")
    return Container.JSON_LINES if begin.startswith(b"{") else Container.TEXT


def _is_workbook(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return "xl/workbook.xml" in archive.namelist()


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file of text, unpacked. Raises BadFile."""
    with _readable(path), _open_unpacked(path) as file:
        return file.read(count)


def sheet_names(path: Path) -> list[str]:
    """The sheets of a workbook that have rows. Raises BadFile."""
    with _readable(path):
        workbook = _workbook(path)
        return [name for name in workbook.sheet_names if workbook.get_sheet_by_name(name).to_python(nrows=2)]


@contextmanager
def open_table(path: Path, form: TextForm, sheet: str = "", torn: TornRows | None = None) -> Iterator[Table]:
    """The file's table. `torn` recognises rows of a text that a stray quote has joined.

    Raises BadFile; so do the rows where the file is damaged further on.
    """
    with ExitStack() as opened:
        with _readable(path):
            table = _table(path, form, sheet, torn, opened)
        yield table._replace(rows=_guarded(path, table.rows))


def _table(path: Path, form: TextForm, sheet: str, torn: TornRows | None, opened: ExitStack) -> Table:
    match container_of(path):
        case Container.TEXT:
            return _text_table(path, opened.enter_context(_open_text(path, form.encoding)), form, torn)
        case Container.JSON_LINES:
            return _json_table(path, opened.enter_context(_open_text(path, "utf-8")))
        case Container.WORKBOOK:
            return _workbook_table(path, sheet)
        case Container.PARQUET:
            return _parquet_table(path, opened)


def _guarded(path: Path, rows: Iterator[TableRow]) -> Iterator[TableRow]:
    with _readable(path):
        yield from rows


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise BadFile(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _open_unpacked(path: Path) -> BinaryIO:
    file = path.open("rb")
    magic = file.peek(4)[:4]
    if magic[:2] == _GZIP:
        file.close()
        return cast(BinaryIO, gzip.open(path))
    if magic != _ZIP:
        return file
    file.close()
    return _open_member(path)


def _open_member(path: Path) -> BinaryIO:
    with zipfile.ZipFile(path) as archive:  # its file stays open as long as the member
        names = [each.filename for each in archive.infolist() if not each.is_dir() and not _is_clutter(each.filename)]
        if len(names) != 1:
            found = ", ".join(names[:5]) or "nothing"
            raise BadFile(f"{path} holds {len(names)} files ({found}), not one: unpack it and name the one to read")
        return cast(BinaryIO, archive.open(names[0]))


def _is_clutter(name: str) -> bool:
    return name.startswith("__MACOSX/") or Path(name).name.startswith(".")


class _Whole:
    """No row is torn as long as it is CSV: without a mapping nobody knows what a row looks like."""

    def __init__(self, width: int) -> None:
        self._width = width

    def is_torn(self, row: Row, lines: Sequence[str]) -> bool:
        """Whether it is no CSV, or has not as many fields as the header."""
        return isinstance(row, Unreadable) or len(row) != self._width


def _open_text(path: Path, encoding: str) -> TextIO:
    """Bytes that are not UTF-8 survive as surrogates; other encodings do not say what is not theirs."""
    is_utf8 = encoding == "utf-8"
    errors = "surrogateescape" if is_utf8 else "replace"
    return io.TextIOWrapper(
        _open_unpacked(path), encoding="utf-8-sig" if is_utf8 else encoding, errors=errors, newline=""
    )


def _text_table(path: Path, text: TextIO, form: TextForm, torn: TornRows | None) -> Table:
    for _ in range(form.header_line - 1):
        text.readline()
    columns = unique_columns(path, next(csv.reader([text.readline()], delimiter=form.delimiter), []))
    rows = CsvRows(text, torn or _Whole(len(columns)), form.delimiter)

    def all_rows() -> Iterator[TableRow]:
        while (block := rows.next_block()) is not None:
            yield from map(TableRow, block.rows, block.texts)

    return Table(columns, all_rows())


def unique_columns(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The header; of columns of one name the further ones are numbered. Raises BadFile where there is none."""
    columns: list[str] = []
    for name in (name.strip() for name in names):
        again = sum(column == name or column.startswith(f"{name} (") for column in columns)
        columns.append(f"{name} ({again + 1})" if again else name)
    if not any(columns):
        raise BadFile(f"{path} has no header: its first line must name the columns")
    return tuple(columns)


def _json_table(path: Path, text: TextIO) -> Table:
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    begin = list(islice(text, _JSON_COLUMNS_FROM))
    names: dict[str, None] = {}
    for line in begin:
        names |= dict.fromkeys(_json_object(line, decode) or {})
    columns = unique_columns(path, list(names))

    def row(line: str) -> TableRow:
        values = _json_object(line, decode)
        if values is None:
            return TableRow(Unreadable("the line is no JSON object"), line)
        return TableRow([_json_text(values.get(name)) for name in columns], line)

    return Table(columns, (row(line) for line in chain(begin, text) if line.strip()))


def _json_object(line: str, decode: Any) -> dict[str, msgspec.Raw] | None:
    try:
        return cast(dict[str, msgspec.Raw], decode(line.encode()))
    except (msgspec.DecodeError, UnicodeError):
        return None


def _json_text(value: msgspec.Raw | None) -> str:
    """A value's text: a number in exactly its digits, null as nothing."""
    literal = bytes(value or b"")
    if literal in (b"", b"null"):
        return ""
    return msgspec.json.decode(literal, type=str) if literal.startswith(b'"') else without_exponent(literal.decode())


def _workbook(path: Path) -> Any:
    import python_calamine  # noqa: PLC0415

    try:
        return python_calamine.CalamineWorkbook.from_path(path)
    except (python_calamine.CalamineError, ValueError) as error:
        raise BadFile(f"{path} cannot be read as an Excel workbook: {error}") from None


def _workbook_table(path: Path, sheet: str) -> Table:
    names = sheet_names(path)
    if not names or (sheet and sheet not in names):
        raise BadFile(f"{path} has no sheet {sheet!r} with rows (found: {', '.join(names) or 'none'})")
    rows = iter(_workbook(path).get_sheet_by_name(sheet or names[0]).iter_rows())
    header: Sequence[Any] = next((row for row in rows if sum(cell != "" for cell in row) > 1), [])
    columns = unique_columns(path, [cell_text(cell) for cell in header])
    return Table(columns, (TableRow(row, "") for row in _texts(rows)))


def _texts(rows: Iterator[Sequence[Any]]) -> Iterator[list[str]]:
    for row in rows:
        fields = [cell_text(cell) for cell in row]
        if any(fields):
            yield fields


def cell_text(cell: object) -> str:
    """A cell as text. A number has fifteen digits in a workbook: longer ones stay in the notation that is refused."""
    if isinstance(cell, float):
        return f"{cell:.15g}"
    return "" if cell is None else str(cell)


def _parquet_table(path: Path, opened: ExitStack) -> Table:
    import duckdb  # noqa: PLC0415

    database = opened.enter_context(closing(duckdb.connect()))
    query = f"SELECT {{}} FROM read_parquet({_sql_text(str(path))})"
    try:
        database.execute("SET threads = 1; SET TimeZone = 'UTC'")
        described = database.execute(f"DESCRIBE {query.format('*')}").fetchall()
        result = database.execute(query.format("CAST(COLUMNS(*) AS VARCHAR)"))
    except duckdb.Error as error:
        raise BadFile(f"{path} cannot be read as Parquet: {error}") from None
    columns = unique_columns(path, [name for name, *_ in described])
    # As in a workbook, a whole number is one, however it is stored.
    zeros = [".0" if kind in ("DOUBLE", "FLOAT") else "" for _, kind, *_ in described]

    def all_rows() -> Iterator[TableRow]:
        while rows := result.fetchmany(_FETCH):
            for row in rows:
                yield TableRow([(value or "").removesuffix(zero) for value, zero in zip(row, zeros, strict=True)], "")

    return Table(columns, all_rows())


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
