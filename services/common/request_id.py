"""The id of the request that is being answered: in its log lines, in the answer, and passed on to the next service."""

import re
import secrets
from contextvars import ContextVar

HEADER = "x-request-id"
# Of the running task; None where it answers no request.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

# What may stand in a log line and a header. A client's own id is used, so that it finds its request in our logs.
_VALID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def new_request_id() -> str:
    """16 hexadecimal digits."""
    return secrets.token_hex(8)


def valid_request_id(sent: str | None) -> str | None:
    """The id that a client sent; None where it sent none that is valid."""
    return sent if sent is not None and _VALID.fullmatch(sent) else None
