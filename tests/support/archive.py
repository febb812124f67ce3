"""How a record must look in the archive, written a second time from the contract alone."""

import base64
import json
from typing import Any


def as_archived(value: bytes | None) -> dict[str, Any]:
    """The event; the text as it came where it is not JSON; base64 where it is no text either."""
    if value is None:
        return {"value": None}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}
    try:
        return {"value": json.loads(text)}
    except (ValueError, RecursionError):  # Python's own reader gives up on arrays within arrays
        return {"value": text}
