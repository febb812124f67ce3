"""The certificate authorities for https."""

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """Read once a process: that takes longer than any request."""
    return httpx.create_ssl_context(trust_env=False)
