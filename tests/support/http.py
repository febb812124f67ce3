"""Requests to the services of a test, which speak plain HTTP unless it asks for TLS."""

import ssl

import httpx

# A client reads the authorities for https, unless it gets a context. A check that waits would take longer for that
# than for its request.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def status_of(url: str, trust: ssl.SSLContext = NO_TLS) -> int | None:
    """The status that a service answers; None if nobody does."""
    try:
        return httpx.get(url, verify=trust, timeout=60).status_code
    except httpx.HTTPError:
        return None
