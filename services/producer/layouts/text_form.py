"""Encoding and delimiter of a file of text, and the line of its header. Pure, on the file's first bytes."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from services.producer.layouts.mapping import TextForm
from services.producer.layouts.presets import known_names

SAMPLE_BYTES = 1024 * 1024
DELIMITERS = ",;\t|"
_ROWS = 200
_HEADER_WITHIN = 15
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What spreadsheets and tills write that do not write Unicode. Of these, bytes alone cannot tell every pair apart.
_LEGACY = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp850", "shift_jis", "gb18030", "big5", "euc_kr"]


def text_form(sample: bytes, encoding: str = "", delimiter: str = "") -> TextForm:
    """The form of a text that begins so; what is given is taken as it is."""
    encoding = encoding or encoding_of(sample)
    lines = decoded(sample, encoding).splitlines(keepends=True)
    named = _named_delimiter(lines)
    delimiter = delimiter or named or delimiter_of(lines)
    return TextForm(encoding, delimiter, _header_line(lines, delimiter, after=1 if named else 0))


def decoded(sample: bytes, encoding: str) -> str:
    """The text of a file's first bytes; what is cut off at their end is left out."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)
    return text.removeprefix("\ufeff")


def encoding_of(sample: bytes) -> str:
    """By its mark; else UTF-8, unless most lines beyond ASCII are no UTF-8; else what these look like."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    if b"\x00" in sample[:1000]:
        return "utf-16-le" if sample[1:2] == b"\x00" else "utf-16-be"
    foreign = [line for line in sample.splitlines()[:-1] or [sample] if not line.isascii()]
    damaged = [line for line in foreign if not _is_utf8(line)]
    if len(damaged) * 2 <= len(foreign):
        return "utf-8"
    return _legacy_encoding(b"\n".join(damaged))


def delimiter_of(lines: Sequence[str]) -> str:
    """The delimiter that splits most rows into as many fields as the most frequent row has, and into the most."""
    return max(DELIMITERS, key=lambda delimiter: _regularity(lines, delimiter))


def _regularity(lines: Sequence[str], delimiter: str) -> tuple[int, float, int]:
    try:
        rows = [row for row in islice(csv.reader(io.StringIO("".join(lines)), delimiter=delimiter), _ROWS) if row]
    except csv.Error:
        return (0, 0, 0)
    names = max((known_names(row) for row in rows[:_HEADER_WITHIN]), default=0)
    width, count = Counter(len(row) for row in rows).most_common(1)[0] if rows else (0, 0)
    return (names, count / len(rows) if width > 1 else 0, width)


def _header_line(lines: Sequence[str], delimiter: str, after: int) -> int:
    """The line with the most names of columns that are known, else the first."""
    rows = [
        (number, next(csv.reader([line], delimiter=delimiter), []))
        for number, line in enumerate(lines[:_HEADER_WITHIN], 1)
    ]
    candidates = [(number, row) for number, row in rows[after:] if row] or [(after + 1, [])]
    return max(candidates, key=lambda candidate: known_names(candidate[1]))[0]


def _named_delimiter(lines: Sequence[str]) -> str:
    """The delimiter of a first line such as `sep=;`, which spreadsheets read and write."""
    first = lines[0].strip().strip('"') if lines else ""
    return first[4:5] if first.lower().startswith("sep=") and len(first) <= 5 else ""


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _legacy_encoding(text: bytes) -> str:
    import charset_normalizer  # noqa: PLC0415 - a file in UTF-8, as most are, does not need it

    best = charset_normalizer.from_bytes(text[:65536], cp_isolation=_LEGACY).best()
    possible = best.could_be_from_charset if best else []
    return next((encoding for encoding in _LEGACY if encoding in possible), "cp1252")
