"""How far each partition of topic `purchases` was read: the mark (applied offset), its lag and its age."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamStart:
    """Where the model's training data ended.

    offsets: partition → the first offset that the model does not know; a partition that is missing is read from its
    beginning. Where there are none at all (an archive without offsets), reading starts at broker time `not_before_ms`.
    """

    offsets: Mapping[int, int]
    not_before_ms: int


@dataclass(slots=True)
class PartitionPosition:
    """How far one partition was read. Times are epoch milliseconds."""

    cut_off: int  # records below this offset are known from the model
    next: int  # offset of the next record to apply
    as_of_ms: int  # every record that had arrived by then is applied
    last_read: tuple[int, int] | None = None  # offset and broker time of the last record applied
    anchor: tuple[int, int] | None = None  # an earlier `last_read`, where the broker sets the times of records
    lag: int | None = None  # records; None before the first fetch
    heard_ms: int = 0  # when Kafka last answered for this partition

    def restart_at(self, offset: int) -> None:
        """Read on from `offset`, as if nothing had been read before."""
        self.cut_off = self.next = offset
        self.last_read = self.anchor = None


class StreamPosition(dict[int, PartitionPosition]):
    """The positions of all partitions, by number; empty before the first contact with Kafka."""

    @property
    def lag(self) -> int | None:
        """Records not yet applied, as of the last fetch; None until Kafka has answered for every partition."""
        lags = [position.lag for position in self.values() if position.lag is not None]
        return sum(lags) if lags and len(lags) == len(self) else None

    def age_ms(self, now_ms: int) -> int | None:
        """How far the applied records are behind the clock; None before the first contact with Kafka."""
        if not self:
            return None
        return max(0, now_ms - min(position.as_of_ms for position in self.values()))
