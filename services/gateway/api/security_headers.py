"""Headers of every response, as ASGI takes them."""

from collections.abc import Sequence

RawHeaders = Sequence[tuple[bytes, bytes]]

_FIXED = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]

# Figures change every second, and many name persons: neither a proxy nor a browser may keep them.
NOT_STORED = (b"cache-control", b"private, no-store")


def security_headers(image_hosts: Sequence[str] = ()) -> RawHeaders:
    """The security headers of every response. `image_hosts`: origins of products' images."""
    return [(b"content-security-policy", content_security_policy(image_hosts).encode()), *_FIXED]


def content_security_policy(image_hosts: Sequence[str] = ()) -> str:
    """All sources are the gateway itself, and the hosts of products' images.

    Inline style attributes (not sheets) are allowed: chart tooltips set them.
    """
    return "; ".join(
        [
            "default-src 'self'",
            "style-src-attr 'unsafe-inline'",
            " ".join(["img-src 'self' data:", *image_hosts]),
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
