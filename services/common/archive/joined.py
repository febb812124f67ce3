"""Records that a writer has put on one line with nothing between them, as Data Firehose does by default. Pure."""

import re
from collections.abc import Iterator

import msgspec

from services.common.archive.lines import ArchivedRecord, read_line

_is_json = msgspec.json.Decoder(msgspec.Raw).decode
# Where one record may end and the next one begin: after a } or before a { that continues no JSON text. Within a JSON
# text that stands in strings alone, so it is rare there.
_BETWEEN = re.compile(rb"(?<=\})\s*(?=[^\s,}\]])|(?<=[^\s,:\[])\s*(?=\{)")
_MOST_WITHIN_A_RECORD = 8


def read_records(line: bytes) -> list[ArchivedRecord]:
    """The records of a line: one, unless JSON objects are joined on it. Never raises.

    What is no JSON ends where the next record may begin: a damaged record does not take its neighbours along.
    """
    record = read_line(line)
    if record.partition is not None or _decodes(line):
        return [record]
    pieces = list(_pieces(line))
    return [record] if len(pieces) == 1 else [read_line(piece) for piece in pieces]


def _pieces(line: bytes) -> Iterator[bytes]:
    ends = [*(found.end() for found in _BETWEEN.finditer(line)), len(line)]
    start = at = 0
    while at < len(ends):
        candidates = range(at, min(at + 1 + _MOST_WITHIN_A_RECORD, len(ends)))
        last = next((each for each in candidates if _decodes(line[start : ends[each]])), at)
        yield line[start : ends[last]].strip()
        start, at = ends[last], last + 1


def _decodes(text: bytes) -> bool:
    try:
        _is_json(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
