"""The highest row of each source (a watermark): senders number their rows upwards, so that a row not above it is a
repeat.
"""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
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


class RecentRowWatermarks:
    """Watermarks of the sources that moved last, at most `sources` of them."""

    def __init__(self, sources: int, stored: Mapping[str, int] = _NOTHING) -> None:
        """`stored`: in the order in which the sources moved, the newest last."""
        self._sources = sources
        self._highest = OrderedDict(islice(stored.items(), max(0, len(stored) - sources), None))

    def advance(self, source: str, row: int) -> bool:
        """As `RowWatermarks.advance`; a new source may push the oldest one out, whose rows then count as new."""
        highest = self._highest.get(source)
        if highest is not None and row <= highest:
            return False
        self._highest[source] = row
        if highest is not None:
            self._highest.move_to_end(source)
        elif len(self._highest) > self._sources:
            self._highest.popitem(last=False)
        return True
