"""How a record must look in the archive, written a second time from the contract alone."""

import base64
import json
from typing import Any


def as_archived(value: bytes | None) -> dict[str, Any]:
    """The event; the whole text where it is not JSON, a string or null; base64 where it is no text either."""
    if value is None:
        return {"value": None}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}
    try:
        event = json.loads(text)
        json.dumps(event, ensure_ascii=False).encode()  # half a surrogate pair is no text: JSON of it is none
    except (ValueError, RecursionError):  # Python's own reader gives up on arrays within arrays
        return {"value": text}
    return {"value": text if event is None or isinstance(event, str) else event}
