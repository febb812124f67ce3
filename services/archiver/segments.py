"""The archive in S3: add the next object of a partition, or find where the partition's chain ends.

The objects of a partition form a chain without gap or overlap: each begins right after the one before. That holds
with any number of archivers at work, slow or frozen ones too (docs/adr/0008).
"""

from typing import NamedTuple

from services.common.archive.keys import PREFIX, Extent, ForeignObject, partition_and_first_offset
from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists


class Link(NamedTuple):
    """The newest object known of a partition's chain."""

    key: str
    extent: Extent


class Archive:
    """Calls block: run them in a thread from async code. They raise botocore's errors where S3 fails."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def add(self, key: str, extent: Extent, body: bytes) -> Link:
        """Write the object, or find the one that another archiver wrote from the same record.

        Its extent may differ: go on after that. Raises ForeignObject where it holds other records, and NoSuchObject
        where a competing write came to nothing (try again).
        """
        try:
            self._store.put_new(key, body, extent.metadata())
        except AlreadyExists:
            theirs = self.link(key).extent
            if (theirs.first_offset, theirs.first_timestamp_ms) != (
                extent.first_offset,
                extent.first_timestamp_ms,
            ):
                raise ForeignObject(
                    f"object {key} holds another topic's records: the topic was created anew, so it needs a new bucket"
                ) from None
            return Link(key, theirs)
        return Link(key, extent)

    def link(self, key: str) -> Link:
        """The object under the key. Raises NoSuchObject, ForeignObject."""
        return Link(key, Extent.read(key, self._store.metadata(key)))

    def newest(self, partition: int) -> Link | None:
        """The end of the partition's chain, from a listing of the whole archive; None where there is no object."""
        newest: tuple[int, str] | None = None
        for key, _size in self._store.list(PREFIX):
            named = partition_and_first_offset(key)
            if named and named[0] == partition and (newest is None or named[1] > newest[0]):
                newest = (named[1], key)
        return self.link(newest[1]) if newest else None
