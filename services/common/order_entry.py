"""An order's entry in the live tables: which of its lines have counted, and in which counters the order is counted.

A compact entry is one value of the hash `orders`:

| bytes | content |
|---|---|
| 1 | flags: 1 a digest follows, 2 the entry is large |
| 8 | digest of the whole order, as the first export that counted has it |
| 1, 8 each | line tokens (`line_identity`) |
| per local day: 1, 4 each | minutes with a line, since 1970; a day with more than 255 of anything is written twice |
| 1, 6 each | entities with a line on that day: category levels, product, brand, customer |

A large entry is used from `MAX_LINES` lines or `MAX_BYTES` on. It holds the flags, the digest, and 8 bytes: the number
of members of the order's set (table `order:<order_id>`). A member is a line token or a counter, so that a batch reads
and writes those of its own lines only, however many lines the order has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct

from xxhash import xxh3_64_intdigest

TOKEN_BYTES = 8
ENTITY_BYTES = 6
MAX_LINES = 255
MAX_BYTES = 4096

_MAX_COUNT = 255

_DIGEST = 1
_LARGE = 2
_LEAF = 1  # the lowest bit of an entity's token
_MINUTES_AND_COUNT = Struct(">BIB")
_COUNT = Struct(">Q")


def entity_token(name: str) -> bytes:
    """The token of an entity, such as `product:42`. Only a number of distinct orders depends on it, never money.

    Two of an order's entities share one by chance once in 2^47.
    """
    return (xxh3_64_intdigest(name.encode()) >> 16 & ~_LEAF).to_bytes(ENTITY_BYTES)


def leaf_token(token: bytes) -> bytes:
    """The token that stands for a category level and for the full category code of that name."""
    return token[:-1] + bytes((token[-1] | _LEAF,))


def level_token(token: bytes) -> bytes:
    """The token of the category level alone; any other entity's token as it is."""
    return token[:-1] + bytes((token[-1] & ~_LEAF,)) if token[-1] & _LEAF else token


def split_tokens(entities: bytes) -> list[bytes]:
    """Concatenated tokens of entities, apart."""
    return [entities[start : start + ENTITY_BYTES] for start in range(0, len(entities), ENTITY_BYTES)]


def one_minute_entry(digest: bytes | None, tokens: Sequence[bytes], minute: int, entities: bytes) -> bytes:
    """The entry of an order whose lines are of one minute. `entities` are concatenated tokens, each once.

    At most 255 of either.
    """
    head = b"\0" if digest is None else b"\1" + digest
    day = _MINUTES_AND_COUNT.pack(1, minute, len(entities) // ENTITY_BYTES)
    return b"".join((head, len(tokens).to_bytes(1), *tokens, day, entities))


@dataclass(slots=True)
class EntryDay:
    """The lines of an order on one local day: their minutes since 1970, and their entities. Ordered sets, as dicts."""

    minutes: dict[int, None] = field(default_factory=dict)
    entities: dict[bytes, None] = field(default_factory=dict)

    @property
    def first_minute(self) -> int:
        """One minute of the day: it says which day this is."""
        return next(iter(self.minutes))


@dataclass(slots=True)
class OrderEntry:
    """A decoded entry. `members` is None in a compact one; otherwise `lines` and `days` are empty."""

    digest: bytes | None = None
    lines: list[bytes] = field(default_factory=list)
    days: list[EntryDay] = field(default_factory=list)
    members: int | None = None

    @property
    def is_too_large(self) -> bool:
        """Whether a compact entry would exceed a limit."""
        size = sum(4 * len(day.minutes) + ENTITY_BYTES * len(day.entities) for day in self.days)
        return len(self.lines) > MAX_LINES or size + TOKEN_BYTES * len(self.lines) > MAX_BYTES

    def encode(self) -> bytes:
        """The entry as it is stored."""
        flags = (_DIGEST if self.digest is not None else 0) | (_LARGE if self.members is not None else 0)
        head = bytes((flags,)) + (self.digest or b"")
        if self.members is not None:
            return head + _COUNT.pack(self.members)
        days = b"".join(map(_encode_day, self.days))
        return head + bytes((len(self.lines),)) + b"".join(self.lines) + days


def _encode_day(day: EntryDay) -> bytes:
    parts, all_minutes, all_entities = [], list(day.minutes), list(day.entities)
    for start in range(0, max(len(all_minutes), len(all_entities)), _MAX_COUNT):
        minutes = all_minutes[start : start + _MAX_COUNT] or all_minutes[:1]
        entities = all_entities[start : start + _MAX_COUNT]
        packed = b"".join(minute.to_bytes(4) for minute in minutes)
        parts.append(b"%c%b%c%b" % (len(minutes), packed, len(entities), b"".join(entities)))
    return b"".join(parts)


def decode_entry(stored: bytes) -> OrderEntry:
    """The entry that `encode` stored. Raises IndexError and struct.error where it is none."""
    flags, at = stored[0], 1
    digest = None
    if flags & _DIGEST:
        digest, at = stored[1 : 1 + TOKEN_BYTES], 1 + TOKEN_BYTES
    if flags & _LARGE:
        return OrderEntry(digest, members=_COUNT.unpack_from(stored, at)[0])
    lines, at = _read(stored, at, TOKEN_BYTES)
    days = []
    while at < len(stored):
        minutes, at = _read(stored, at, 4)
        entities, at = _read(stored, at, ENTITY_BYTES)
        days.append(EntryDay(dict.fromkeys(map(int.from_bytes, minutes)), dict.fromkeys(entities)))
    return OrderEntry(digest, lines, days)


def _read(stored: bytes, at: int, width: int) -> tuple[list[bytes], int]:
    """The counted items at a position, and the position after them."""
    start = at + 1
    end = start + stored[at] * width
    return [stored[place : place + width] for place in range(start, end, width)], end
