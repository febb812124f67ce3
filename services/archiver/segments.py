"""The archive in S3 as chains of segments: adds the next object of a partition, or finds the last one.

The objects of a partition form a chain without gap or overlap: each begins right after the previous one. That holds
for any number of concurrent archivers, also slow ones and zombies (docs/adr/0008).
"""

from typing import NamedTuple

from services.common.archive.keys import PREFIX, Extent, ForeignObject, newest_keys
from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists


class SegmentRef(NamedTuple):
    """An object of a partition's chain."""

    key: str
    extent: Extent


class SegmentChains:
    """The chains of all partitions. Calls block: run them in a thread from async code. They raise botocore's errors."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def add(self, key: str, extent: Extent, body: bytes) -> SegmentRef:
        """Write the object, or find the one that another archiver wrote from the same record.

        The extent of that one may differ: continue after it. Raises ForeignObject where it holds other records, and
        NoSuchObject where a competing write failed (retry).
        """
        try:
            self._store.put_new(key, body, extent.metadata())
        except AlreadyExists:
            theirs = self.segment(key).extent
            if (theirs.first_offset, theirs.first_timestamp_ms) != (
                extent.first_offset,
                extent.first_timestamp_ms,
            ):
                raise ForeignObject(
                    f"object {key} holds another topic's records: the topic was recreated, so it needs a new bucket"
                ) from None
            return SegmentRef(key, theirs)
        return SegmentRef(key, extent)

    def segment(self, key: str) -> SegmentRef:
        """The object under the key. Raises NoSuchObject, ForeignObject."""
        return SegmentRef(key, Extent.read(key, self._store.metadata(key)))

    def newest(self, partition: int) -> SegmentRef | None:
        """The end of the partition's chain, from a listing of the whole archive; None where there is no object."""
        key = newest_keys(key for key, _size in self._store.list(PREFIX)).get(partition)
        return None if key is None else self.segment(key)
