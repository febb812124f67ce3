"""Canaries: records of topic `purchases` that take a purchase's way, to see how long it takes, and cannot be one.

A canary is `{"canary": "<id>"}` and nothing else. Without a price, a product and an order it counts nowhere, whatever
reads it. A purchase that has a field `canary` stays a purchase: fields that the contract does not know are ignored.
"""

import msgspec

OUTCOME = "canary"
"""What the batch job calls such a record; it counts it nowhere."""
_PREFIX = b'{"canary":'


class Canary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A canary, by the id that its sender gave it."""

    canary: str


_decoder = msgspec.json.Decoder(Canary)


def encode_canary(canary_id: str) -> bytes:
    """The value of a canary's record."""
    return msgspec.json.encode(Canary(canary_id))


def read_canary(value: bytes | None) -> Canary | None:
    """The canary of a record; None where it is none. Asked only for a record that is no valid purchase."""
    if value is None or not value.startswith(_PREFIX):
        return None
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
