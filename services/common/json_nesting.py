"""How deep arrays and objects of a JSON text are nested, without decoding it."""

import re
from itertools import accumulate

MAX_NESTING = 64  # the JSON decoder's own limit depends on the caller's stack; the result must not
_STRING = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)  # never fails after the quote: linear on any input
_NO_BRACKETS = re.compile(rb"[^][{}]+")


def is_nested_too_deep(value: bytes) -> bool:
    """Whether arrays and objects are nested deeper than MAX_NESTING; a guess where the bytes are not JSON."""
    return (b"[" in value or value.find(b"{", 1) > 0) and _nesting(value) > MAX_NESTING


def _nesting(value: bytes) -> int:
    """The deepest level of arrays and objects; brackets within strings do not count."""
    brackets = _NO_BRACKETS.sub(b"", _STRING.sub(b"", value))
    return max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets), default=0)
