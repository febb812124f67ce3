"""The highest row of each source (a watermark): senders number their rows upwards, so that a row not above it is a
repeat.
"""

from collections.abc import Mapping
from types import MappingProxyType

_NOTHING: Mapping[str, int] = MappingProxyType({})


class RowWatermarks:
    """Watermarks that were stored, and in `moved` those that have moved since: source → highest row."""

    def __init__(self, stored: Mapping[str, int] = _NOTHING) -> None:
        self._stored = stored
        self.moved: dict[str, int] = {}

    def advance(self, source: str, row: int) -> bool:
        """Move the source's watermark to a row (0 or more) above it; False for a repeat, which moves nothing."""
        highest = self.moved.get(source)
        if highest is None:
            highest = self._stored.get(source, -1)
        if row <= highest:
            return False
        self.moved[source] = row
        return True
