"""The identity of a file's lines, from a first pass over the whole file.

A row's event id is its content (order, product, time, price, quantity, amount) and its number among equal rows of its
order: neither the file's name nor the row's place takes part, so exports may overlap. What only describes a line
(customer, category, brand, name) takes no part either, because it may be known later than the sale.

An order's digest covers the event ids of all its rows. Where it differs from the one that came with the order first,
the order has changed between two exports.

Memory: 20 bytes a row, 22 while the pass ends, and then some 70 MB for a group of rows that is sorted.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from services.common.events import Invalid
from services.common.spellings import unquoted
from services.producer.csv_rows import Block
from services.producer.fields import RowFields
from services.producer.source import REQUIRED, Purchases

HASH_BYTES = 8
_HEX = 2 * HASH_BYTES
_ROWS_AT_ONCE = 1_000_000  # sorted together
_MOST_GROUPS = 255
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

Words: TypeAlias = npt.NDArray[np.uint64]
Hashes: TypeAlias = npt.NDArray[Any]  # big-endian 64-bit words, so that their bytes are those of the digests
Numbers: TypeAlias = npt.NDArray[np.uint32]
Rows: TypeAlias = npt.NDArray[np.intp]


class BlockIds(NamedTuple):
    """Event ids and order digests of consecutive rows; both empty for a row that has an event id of its own."""

    event_ids: list[str]
    order_digests: list[str]


class LineIds:
    """Event ids and order digests of all rows of a file."""

    def __init__(self, contents: Hashes, numbers: Numbers, digests: Words) -> None:
        self._contents = contents
        self._numbers = numbers
        self._digests = digests

    def __len__(self) -> int:
        """How many rows the file had."""
        return len(self._numbers)

    @property
    def nbytes(self) -> int:
        """The memory of the identities."""
        return self._contents.nbytes + self._numbers.nbytes + self._digests.nbytes

    def contents(self, start: int, end: int) -> bytes:
        """The content hashes of the rows with index `start` to `end` (exclusive), from 0."""
        return self._contents[start:end].tobytes()

    def of(self, first: int, count: int) -> BlockIds:
        """The identity of `count` rows from row number `first` on."""
        rows = slice(first - 1, first - 1 + count)
        contents = _hexadecimal(self._contents[rows])
        digests = _hexadecimal(self._digests[rows].astype(">u8"))
        numbers: list[int] = self._numbers[rows].tolist()
        # Not joined by a hyphen: digits that end in an `e` and a number after it would be a rounded id (`spellings`).
        event_ids = [f"{content}_{number}" for content, number in zip(contents, numbers, strict=True)]
        for named in np.flatnonzero(self._numbers[rows] == 0).tolist():
            event_ids[named] = digests[named] = ""
        return BlockIds(event_ids, digests)


class PrefixDigest:
    """Digest of a file's first rows, for as many rows as were asked for last: it grows with a checkpoint."""

    def __init__(self, ids: LineIds) -> None:
        self._ids = ids
        self._rows = 0
        self._hash = blake2b(digest_size=16)

    def of(self, rows: int) -> str:
        """The digest of the first `rows` rows, not fewer than before."""
        self._hash.update(self._ids.contents(self._rows, rows))
        self._rows = rows
        return self._hash.hexdigest()


class LineIdReader:
    """Collects the rows of a file, block by block."""

    def __init__(self, columns: Sequence[str]) -> None:
        """`columns` is the file's header."""
        self._fields = RowFields(columns)
        self._contents = bytearray()
        self._orders = array("q")  # hashes that hold within this process alone
        self._unnamed = bytearray()  # 1 for a row without an event id of its own

    def add(self, block: Block) -> None:
        """Note the file's next rows."""
        contents, orders, unnamed = self._contents, self._orders, self._unnamed
        fields_of, own_id = self._fields.of, self._fields.own_id
        for row, text in zip(block.rows, block.texts, strict=True):
            own = own_id(row)
            unnamed.append(not own)
            try:
                fields = fields_of(row)
            except Invalid:
                order, content = "", text.rstrip("\r\n")
            else:
                order = fields[1] if fields[1][:1] != "=" else unquoted(fields[1])
                content = _content(order, fields)
            if own:
                content = f"{own}\x1f{content}"
            contents += blake2b(content.encode("utf-8", "surrogateescape"), digest_size=HASH_BYTES).digest()
            orders.append(hash(order))

    def line_ids(self) -> LineIds:
        """The identity of all rows so far."""
        contents = _words(self._contents, ">u8")
        orders = _words(self._orders, "=u8")
        numbers = _words(self._unnamed, "u1").astype(np.uint32)
        for rows in _whole_orders(orders, numbers):
            _identify(rows, contents, orders, numbers)
        return LineIds(contents, numbers, orders)


def read_line_ids(file: Purchases, progress: Callable[[int], object] = lambda _rows: None) -> LineIds:
    """The identity of all rows of a file, which is read to its end. Raises BadFile."""
    reader = LineIdReader(file.columns)
    for block in file.blocks():
        reader.add(block)
        progress(len(block))
    return reader.line_ids()


def _content(order: str, fields: Sequence[str]) -> str:
    """What makes a row the line that it is. No quantity is one piece, and an empty column says as much as none."""
    sold = f"{order}\x1f{fields[2]}\x1f{fields[0]}\x1f{fields[6]}\x1f"
    if len(fields) == len(REQUIRED):
        return f"{sold}1\x1f"
    return f"{sold}{fields[8] or '1'}\x1f{fields[9]}"


def _words(buffer: "bytearray | array[int]", kind: str) -> Hashes:
    return np.frombuffer(buffer, kind) if len(buffer) else np.empty(0, kind)


def _whole_orders(orders: Hashes, numbers: Numbers) -> Iterator[Rows]:
    """The rows without an event id of their own in some groups, each of whole orders: a group at a time is sorted."""
    groups = min(_MOST_GROUPS, len(orders) // _ROWS_AT_ONCE + 1)
    group_of = np.empty(len(orders), np.uint8)
    for start in range(0, len(orders), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        group_of[some] = orders[some] % np.uint64(groups)
    for group in range(groups):
        yield np.flatnonzero((group_of == group) & (numbers > 0))


def _identify(rows: Rows, contents: Hashes, orders: Words, numbers: Numbers) -> None:
    """Number equal rows of an order in the file's order, and write each order's digest over the order's hash."""
    if not len(rows):
        return
    order, content = orders[rows], contents[rows].astype(np.uint64)
    place = np.lexsort((content, order))  # stable: equal rows stay in the file's order
    order, content = order[place], content[place]
    new_order = _starts(order)
    new_line = new_order | _starts(content)
    at = np.arange(len(place))
    number = (at - np.maximum.accumulate(np.where(new_line, at, 0)) + 1).astype(np.uint32)
    first = np.flatnonzero(new_order)
    digest = np.add.reduceat(_mixed(content, number), first)
    numbers[rows[place]] = number
    orders[rows[place]] = np.repeat(digest, np.diff(first, append=len(place)))


def _starts(values: Words) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before."""
    return np.concatenate(([True], values[1:] != values[:-1]))


def _mixed(content: Words, number: Numbers) -> Words:
    """64 well-mixed bits of each event id (SplitMix64's finalizer). Their sum does not depend on the rows' order."""
    word = content + number * _GOLDEN
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = word ^ (word >> np.uint64(31))
    return mixed


def _hexadecimal(hashes: Hashes) -> list[str]:
    text = hashes.tobytes().hex()
    return [text[at : at + _HEX] for at in range(0, len(text), _HEX)]
