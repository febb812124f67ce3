"""Messages on a stream of bytes: each is a length (4 bytes, big-endian) and so many bytes. Pure."""

import struct
from collections.abc import Iterator

_LENGTH = struct.Struct(">I")
MAX_FRAME_BYTES = 4 * 1024 * 1024


class FrameTooLarge(ValueError):
    """The other end announces a message beyond the limit: it does not speak this protocol."""


def frame(message: bytes) -> bytes:
    """A message as it is sent."""
    return _LENGTH.pack(len(message)) + message


class FrameReader:
    """Cuts received bytes into messages; an incomplete one waits for more bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete now. Raises FrameTooLarge."""
        received, start = self._rest + data if self._rest else data, 0
        while len(received) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(received, start)
            if length > MAX_FRAME_BYTES:
                raise FrameTooLarge(f"a message of {length:,} bytes")
            end = start + _LENGTH.size + length
            if end > len(received):
                break
            yield received[start + _LENGTH.size : end]
            start = end
        self._rest = received[start:]
