"""One thing that is held of a customer. Pure."""

import secrets
from typing import Any

import msgspec

from services.common.erased import Erased, digest_of


class Finding(msgspec.Struct, frozen=True):
    """A line of an export. `place`: key, topic and offset, or table."""

    store: str
    place: str
    value: Any


def as_text(value: bytes | None) -> str | None:
    """A record's value for an export."""
    return None if value is None else value.decode(errors="replace")


def single(user_id: str) -> Erased:
    """What recognises one customer, by the rule that erasing goes by."""
    key = secrets.token_bytes(32)
    return Erased(key, frozenset({digest_of(user_id, key)}))
