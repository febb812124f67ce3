"""Keys and metadata of the archive's objects. Pure.

`raw/purchases/YYYY/MM/DD/HH/<partition>-<first offset>.json.gz`: the hour is the first record's broker time, so two
archivers that begin an object at the same record compute the same key.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

PREFIX = "raw/purchases/"

_NAME = re.compile(r"/(\d+)-(\d{20})\.json\.gz$", re.ASCII)
_HOUR = re.compile(r"/(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]*$", re.ASCII)


def object_key(partition: int, first_offset: int, timestamp_ms: int) -> str:
    """The key of the object that begins with this record."""
    hour = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    return f"{PREFIX}{hour:%Y/%m/%d/%H}/{partition}-{first_offset:020d}.json.gz"


def partition_and_first_offset(key: str) -> tuple[int, int] | None:
    """Partition and first offset of a key; None where the archiver did not write it."""
    match = _NAME.search(key)
    return (int(match[1]), int(match[2])) if match else None


def newest_keys(keys: Iterable[str]) -> dict[int, str]:
    """By partition, the key with the highest first offset. Keys that the archiver did not write are left out."""
    newest: dict[int, tuple[int, str]] = {}
    for key in keys:
        if named := partition_and_first_offset(key):
            partition, first_offset = named
            if partition not in newest or first_offset > newest[partition][0]:
                newest[partition] = (first_offset, key)
    return {partition: key for partition, (_first_offset, key) in newest.items()}


def hour_end_ms(path: str) -> int | None:
    """The end of the hour in an archive object's path (epoch ms); None where its folders are no hour."""
    match = _HOUR.search(path)
    if match is None:
        return None
    year, month, day, hour = map(int, match.groups())
    try:
        end = datetime(year, month, day, hour, tzinfo=UTC) + timedelta(hours=1)
    except ValueError:
        return None
    return int(end.timestamp() * 1000)


class ForeignObject(Exception):
    """An archived object without the archiver's metadata, or with the records of another topic."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The records of one object: offsets are inclusive, times are the broker's (epoch ms).

    `covers`: see covers_from; None where the object does not say so.
    """

    first_offset: int
    first_timestamp_ms: int
    last_offset: int
    last_timestamp_ms: int
    covers: int | None = None

    @property
    def next_offset(self) -> int:
        """The offset after the last record."""
        return self.last_offset + 1

    @property
    def covers_from(self) -> int:
        """The offset from which on it holds every record of the log: those before its first one are no records."""
        return self.first_offset if self.covers is None else self.covers

    def metadata(self) -> dict[str, str]:
        """The extent as the object's user metadata."""
        return {
            "first-offset": str(self.first_offset),
            "first-timestamp": str(self.first_timestamp_ms),
            "last-offset": str(self.last_offset),
            "last-timestamp": str(self.last_timestamp_ms),
            **({} if self.covers is None else {"covers-from": str(self.covers)}),
        }

    @classmethod
    def read(cls, key: str, metadata: dict[str, str]) -> Self:
        """The extent in the metadata of the object under `key`. Raises ForeignObject."""
        try:
            return cls(
                int(metadata["first-offset"]),
                int(metadata["first-timestamp"]),
                int(metadata["last-offset"]),
                int(metadata["last-timestamp"]),
                int(metadata["covers-from"]) if "covers-from" in metadata else None,
            )
        except (KeyError, ValueError):
            raise ForeignObject(f"object {key} does not carry the archiver's metadata") from None
