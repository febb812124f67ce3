"""Mutations of valid messages: broken, hostile, odd. Message `number` of `seed` always has the same bytes."""

import random
from collections.abc import Callable, Iterator
from itertools import chain

from services.common.events import EARLIEST_EVENT_MS, FUTURE_TOLERANCE_MS, MAX_RECORD_BYTES
from services.common.times import format_time
from tests.fuzz.seeds import BROKER_MS, FIELDS, Pairs, quoted, valid_messages, written

_SEEDS = tuple(valid_messages())
_BORDERS = (EARLIEST_EVENT_MS, BROKER_MS + FUTURE_TOLERANCE_MS)

_STRINGS = [
    *(
        b'""',
        b'" "',
        b'"\\u0000"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\ud83d\\ude00"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
    ),
    *(b'"a\\nb"', b'"a\nb"', b'"\x00"', b'"\\u007f"', b'"\xc2\x85"', b'"\\q"', b'"\\u12"', b'"', b'"\\', b'"a"b"'),
    *(quoted("ключ/№:1"), quoted("😀" * 128), quoted("é" * 129), quoted("x" * 256), quoted("x" * 257), b'"null"'),
]
_NUMBERS = [
    *(b"0", b"-0", b"1", b"-1", b"12.5", b"12.500", b"0.01", b"1.234", b"007", b"-007", b"+1", b".5", b"1.", b"0x10"),
    *(b"1e2", b"1E+2", b"1e-2", b"1e400", b"-1e400", b"NaN", b"Infinity", b"-Infinity", b"nan", b"1_000", b"1,5"),
    *(b"9007199254740993", b"90071992547409.93", b"9223372036854775808", b"18446744073709551616", b"9" * 400),
    *(b"0." + b"1" * 400, b"9999999.99", b"10000000.00", b"999999999999999.99", b"1000000", b"1000001", b"-1000001"),
    *(b"10000000.00", b"10000000.01", b"-10000000.00", "٣".encode(), "１".encode(), b"1" * 16),
]
_OTHERS = [b"null", b"true", b"false", b"nul", b"", b"{}", b"[]", b"[1]", b'{"a":1}', b'["x"]', b"undefined", b"'x'"]
_TIMES = [
    *(format_time(border + step).encode() for border in _BORDERS for step in (-1, 0, 1)),
    *(b"1970-01-01 00:33:40 UTC", b"2020-02-30 00:00:00 UTC", b"2020-02-29 23:59:59 UTC", b"2021-02-29 00:00:00 UTC"),
    *(b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"0000-01-01T00:00:00Z", b"2020-13-01T00:00:00Z"),
    *(b"2020-01-01T24:00:00Z", b"2020-01-01T23:59:60Z", b"2020-01-01 24:00:00 UTC", b"2020-01-01T00:00:00+24:00"),
    *(b"2020-01-01T00:00:00.123456789Z", b"2020-01-01T00:00:00.1234567891Z", b"2020-01-01t00:00:00z"),
    *(b"2020-01-01 00:00:00+05:30", b"2020-01-01 00:00:00 utc", b"2020-01-01", b"1587729039", b"2020-01-01T00:00Z"),
    *("٢٠٢٠-01-01 00:00:00 UTC".encode(), b"2020-01-01T00:00:00.Z", b"2020-01-01T00:00:00-00:00"),
]
_IDS = [quoted("9" * 19), quoted("x" * 128), quoted("x" * 129), quoted("kz.csv:0"), quoted("a:9999999999999999"), b"17"]
_CATEGORIES = [quoted(code) for code in ("a..b", ".a", "a.", ".", "a.b.c.d.e.f.g.h", "a.b.c.d.e.f.g.h.i", "." * 256)]
_GENERAL = [*_STRINGS, *_NUMBERS, *(b'"%b"' % number for number in _NUMBERS), *_OTHERS]
_LITERALS = {
    "event_time": [b'"%b"' % time for time in _TIMES],
    "category_code": _CATEGORIES,
    **{name: _NUMBERS + [b'"%b"' % number for number in _NUMBERS] for name in ("price", "quantity", "amount")},
    **dict.fromkeys(("event_id", "order_id", "product_id", "user_id", "category_id", "replay_of"), _IDS),
}
_KEYS = [
    *(b'"\\u0070rice"', b'"Price"', b'"price "', b'""', b'"partition"', b'"offset"', b'"timestamp"', b'"value"'),
    *(b'"value_base64"', b'"__proto__"', b'"\xff"', b'"\\ud800"', b"price", b"'price'", b"1", b"null", b'"a\nb"'),
]
_SPACES = [b"", b" ", b"\n", b"\r\n", b"\t", b"  \n\t ", b"\x00", b"\x0b", b"\xa0", b"/*x*/"]
_BYTES = [b"\x00", b"\xff", b"\x80", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r", b"-", b"e", b"\x7f"]
_ENCODINGS = ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1251", "utf-7", "utf-8-sig", "cp037"]


def messages(seed: int, first: int, count: int) -> Iterator[tuple[int, bytes | None]]:
    """`count` messages with their numbers, from number `first` on."""
    return ((number, message(seed, number)) for number in range(first, first + count))


def message(seed: int, number: int) -> bytes | None:
    """One message; None is a record without a value. About one in eight is valid as it was."""
    random_ = random.Random(seed << 40 | number)
    fate = random_.random()
    if fate < 0.001:
        return random_.choice([None, b"", b" ", random_.randbytes(random_.randrange(300))])
    pairs = list(random_.choice(_SEEDS))
    value = written(pairs)
    if 0.1 < fate < 0.75:
        value = _restructured(random_, pairs)
    if 0.5 < fate < 0.95:
        value = _damaged(random_, value)
    if fate > 0.95:
        value = random_.choice(_WRAPPERS)(random_, value)
    return value


def _restructured(random_: random.Random, pairs: Pairs) -> bytes:
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        random_.choice(_CHANGES)(random_, pairs)
    if random_.random() < 0.8:
        return written(pairs)
    return written(pairs, lambda: random_.choice(_SPACES[:6] if random_.random() < 0.95 else _SPACES))


def _damaged(random_: random.Random, value: bytes) -> bytes:
    for _ in range(random_.choice((1, 1, 2, 4))):
        value = random_.choice(_DAMAGES)(random_, value)
    return value


# --- changes of the structure: each field is a key and a value, as they stand in the text ---


def _other_literal(random_: random.Random, pairs: Pairs) -> None:
    place = _place(random_, pairs)
    name = pairs[place][0].strip(b'"').decode(errors="replace")
    literals = _LITERALS.get(name, _GENERAL) if random_.random() < 0.6 else _GENERAL
    pairs[place] = (pairs[place][0], random_.choice(literals))


def _without_a_field(random_: random.Random, pairs: Pairs) -> None:
    if len(pairs) > 1:
        del pairs[_place(random_, pairs)]


def _a_field_twice(random_: random.Random, pairs: Pairs) -> None:
    key, value = random_.choice(pairs)
    pairs.insert(_place(random_, pairs), (key, random_.choice([value, random_.choice(_GENERAL)])))


def _two_values_swapped(random_: random.Random, pairs: Pairs) -> None:
    one, other = _place(random_, pairs), _place(random_, pairs)
    (first, left), (second, right) = pairs[one], pairs[other]
    pairs[one], pairs[other] = (first, right), (second, left)


def _another_order(random_: random.Random, pairs: Pairs) -> None:
    random_.shuffle(pairs)


def _another_key(random_: random.Random, pairs: Pairs) -> None:
    place = _place(random_, pairs)
    pairs[place] = (random_.choice(_KEYS), pairs[place][1])


def _an_unknown_field(random_: random.Random, pairs: Pairs) -> None:
    pairs.insert(_place(random_, pairs), (random_.choice(_KEYS), random_.choice([*_GENERAL, _nested(random_)])))


def _a_known_field_more(random_: random.Random, pairs: Pairs) -> None:
    name = random_.choice(FIELDS)
    pairs.append((quoted(name), random_.choice(_LITERALS.get(name, _GENERAL))))


def _nested_value(random_: random.Random, pairs: Pairs) -> None:
    place = _place(random_, pairs)
    pairs[place] = (pairs[place][0], _nested(random_))


def _another_type(random_: random.Random, pairs: Pairs) -> None:
    place = _place(random_, pairs)
    key, value = pairs[place]
    bare = value[1:-1] if value.startswith(b'"') else b'"%b"' % value.replace(b'"', b"")
    pairs[place] = (key, random_.choice([bare, b"[%b]" % value, b'{"value":%b}' % value, b'"\\"%b\\""' % bare]))


def _escaped(random_: random.Random, pairs: Pairs) -> None:
    """The same text by escapes: another spelling of an equal value."""
    place = _place(random_, pairs)
    key, value = pairs[place]
    if value.startswith(b'"') and value.isascii() and b"\\" not in value:
        pairs[place] = (key, b'"%b"' % b"".join(b"\\u%04x" % byte for byte in value[1:-1]))


def _moved_by_position(_random: random.Random, pairs: Pairs) -> None:
    """A row of six fields read by position: the price where the category stands, the customer where the brand does."""
    fields = dict(pairs)
    moved = {b'"category_id"': b'""', b'"category_code"': fields.get(b'"price"', b'"1.00"')}
    moved |= {b'"brand"': fields.get(b'"user_id"', b'""'), b'"price"': b"null", b'"user_id"': b"null"}
    pairs[:] = (fields | moved).items()


def _place(random_: random.Random, pairs: Pairs) -> int:
    return random_.randrange(len(pairs))


def _nested(random_: random.Random) -> bytes:
    levels = random_.choice([1, 2, 8, 61, 62, 63, 64, 65, 100, 900, 3_000])
    opening, closing = random_.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'["[",', b"]"), (b"[{", b"}]"), (b"[", b"")])
    return opening * levels + random_.choice([b"1", b'"]"', b"", b"null"]) + closing * levels


_CHANGES: list[Callable[[random.Random, Pairs], None]] = [
    *(_other_literal, _other_literal, _other_literal, _another_type, _another_type, _a_field_twice, _another_key),
    *(_without_a_field, _two_values_swapped, _another_order, _an_unknown_field, _a_known_field_more, _nested_value),
    *(_escaped, _moved_by_position),
]


# --- damage to the bytes, whatever they mean ---


def _a_bit_flipped(random_: random.Random, value: bytes) -> bytes:
    place = random_.randrange(len(value) or 1)
    return (
        value[:place]
        + bytes(byte ^ 1 << random_.randrange(8) for byte in value[place : place + 1])
        + value[place + 1 :]
    )


def _a_byte_replaced(random_: random.Random, value: bytes) -> bytes:
    place = random_.randrange(len(value) + 1)
    return value[:place] + random_.choice(_BYTES) + value[place + 1 :]


def _bytes_inserted(random_: random.Random, value: bytes) -> bytes:
    place = random_.randrange(len(value) + 1)
    return value[:place] + random_.choice([*_BYTES, *_GENERAL, random_.randbytes(4)]) + value[place:]


def _truncated(random_: random.Random, value: bytes) -> bytes:
    return value[: random_.randrange(len(value) + 1)]


def _a_part_cut_out(random_: random.Random, value: bytes) -> bytes:
    start = random_.randrange(len(value) + 1)
    return value[:start] + value[start + random_.choice((1, 2, 5, 20)) :]


def _a_part_twice(random_: random.Random, value: bytes) -> bytes:
    start = random_.randrange(len(value) + 1)
    part = value[start : start + random_.choice((1, 3, 10, 50))]
    return value[:start] + part * random_.choice((2, 2, 2, 3, 100)) + value[start + len(part) :]


def _spliced(random_: random.Random, value: bytes) -> bytes:
    other = written(random_.choice(_SEEDS))
    return value[: random_.randrange(len(value) + 1)] + other[random_.randrange(len(other)) :]


_DAMAGES: list[Callable[[random.Random, bytes], bytes]] = [
    *(_a_bit_flipped, _a_bit_flipped, _a_byte_replaced, _a_byte_replaced, _bytes_inserted, _bytes_inserted),
    *(_truncated, _a_part_cut_out, _a_part_twice, _spliced),
]


# --- the message as a part of something else ---


def _encoded(random_: random.Random, value: bytes) -> bytes:
    return value.decode().encode(random_.choice(_ENCODINGS), errors="replace")


def _padded(random_: random.Random, value: bytes) -> bytes:
    """White space and other bytes around the message; seldom up to the size where it is too large."""
    space = random_.choice([*_SPACES, b"\xef\xbb\xbf", b"\x1e", b"\xff\xfe"])
    if random_.random() < 0.02 and len(space) == 1:
        space *= MAX_RECORD_BYTES - len(value) + random_.choice((-1, 0, 1, 1_000))
    return random_.choice([space + value, value + space, value[:-1] + space + b"}"])


def _with_a_long_text(random_: random.Random, value: bytes) -> bytes:
    length = random_.choice([300, 5_000, MAX_RECORD_BYTES - len(value) - 7 + random_.choice((-1, 0, 1))])
    unit = random_.choice([b"a", b"[", b'\\"', b"\\", "é".encode()])
    return value[:-1] + b',"x":"%b"}' % (unit * (length // len(unit)))


def _as_an_element(random_: random.Random, value: bytes) -> bytes:
    form = random_.choice([b"[%b]", b"[%b,1]", b'{"value":%b}', b'{"partition":0,"offset":1,"timestamp":2,"value":%b}'])
    return form % value


def _as_a_text(_random: random.Random, value: bytes) -> bytes:
    return quoted(value.decode())


def _twice(random_: random.Random, value: bytes) -> bytes:
    return value + random_.choice(_SPACES) + value


_WRAPPERS: list[Callable[[random.Random, bytes], bytes]] = [
    *(_encoded, _padded, _padded, _with_a_long_text, _as_an_element, _as_a_text, _twice)
]


def every_literal() -> list[bytes]:
    """All the odd literals, for tests that put each in each place."""
    return sorted({*_GENERAL, *chain.from_iterable(_LITERALS.values())})
