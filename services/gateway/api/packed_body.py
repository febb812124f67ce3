"""Bodies as clients pack them: gzip, and a byte order mark. What a body unpacks to is bounded."""

import zlib
from http import HTTPStatus

from services.gateway.api.problems import Problem, bad_field

_BOM = b"\xef\xbb\xbf"
_GZIP = 16 + zlib.MAX_WBITS


def unpacked(body: bytes, encoding: str | None, max_bytes: int) -> bytes:
    """The body without its content coding and byte order mark, at most `max_bytes`.

    Raises Problem 413 where it is larger, 415 for another coding than gzip, and 422 where it is no gzip.
    """
    coding = (encoding or "identity").strip().lower()
    if coding in ("gzip", "x-gzip"):
        body = _gunzipped(body, max_bytes)
    elif coding != "identity":
        headers = {"Accept-Encoding": "gzip"}
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the content encoding must be gzip, or none", headers)
    return body.removeprefix(_BOM)


def _gunzipped(body: bytes, max_bytes: int) -> bytes:
    """One gzip member. Not more than the limit is ever unpacked."""
    decompressor = zlib.decompressobj(_GZIP)
    try:
        unpacked_body = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise bad_field("body", f"is no gzip: {error}") from None
    if len(unpacked_body) > max_bytes:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body unpacks to more than {max_bytes:,} bytes")
    if not decompressor.eof:
        raise bad_field("body", "is no gzip: it is cut off")
    if decompressor.unused_data:
        raise bad_field("body", "holds more after the end of the gzip: pack it as one")
    return unpacked_body
