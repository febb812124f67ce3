"""Texts that may be stored, logged and shown."""

import re

_UNCLEAN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_clean(text: str) -> bool:
    """Whether a text has no control characters and no lone surrogates."""
    return _UNCLEAN.search(text) is None
