"""The partition of a key: the murmur2 hash that Kafka's own clients use, so that every sender agrees.

aiokafka's implementation gives the same figures; this one reads whole words instead of bytes and takes half the
time, and remembers the last keys, because the lines of an order follow one another.
"""

import struct
from collections.abc import Callable
from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_WORDS = tuple(struct.Struct(f"<{words}I") for words in range(129))


def murmur2(data: bytes) -> int:
    """The 32-bit hash of Kafka's `Utils.murmur2`, as an unsigned integer."""
    words, rest = divmod(len(data), 4)
    h = _SEED ^ len(data)
    for word in _words(data, words):
        k = word * _M & _MASK
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    if rest:
        h = (h ^ int.from_bytes(data[-rest:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def _words(data: bytes, words: int) -> tuple[int, ...]:
    layout = _WORDS[words] if words < len(_WORDS) else struct.Struct(f"<{words}I")
    return layout.unpack_from(data)


def keyed_partitioner(partitions: int) -> Callable[[str], tuple[int, bytes]]:
    """A function from a key's text to (partition, key bytes) for a topic of `partitions` partitions."""

    @lru_cache(maxsize=8192)
    def place(key: str) -> tuple[int, bytes]:
        encoded = key.encode()
        return (murmur2(encoded) & 0x7FFFFFFF) % partitions, encoded

    return place
