"""A bucket in memory, for what is read, written conditionally and listed."""

from collections.abc import Iterator

from services.common.object_store import ObjectStore, StoredObject
from services.common.storage_errors import AlreadyExists, NoSuchObject


class Bucket(ObjectStore):
    """The part of ObjectStore that publishing and the registry use, in memory.

    `rivals` write between a read and the next write. With `answers_lost`, a write is done and then asked for again,
    as by S3's client that waited for the answer in vain.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.rivals: list[bytes] = []
        self.answers_lost = False

    def list(self, prefix: str, start_after: str = "") -> Iterator[tuple[str, int]]:
        return ((key, len(body)) for key, body in sorted(self.objects.items()) if key.startswith(prefix))

    def get(self, key: str) -> bytes:
        return self.get_with_etag(key)[0]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        if key not in self.objects:
            raise NoSuchObject(key)
        return self.objects[key], str(hash(self.objects[key]))

    def get_stored(self, key: str) -> StoredObject:
        body, etag = self.get_with_etag(key)
        return StoredObject(body, etag, {}, {})

    def rewrite(self, key: str, body: bytes, stored: StoredObject) -> None:
        self.replace(key, body, stored.etag)

    def put_new(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        self._rival(key)
        if key in self.objects:
            raise AlreadyExists(key)
        self._written(key, body)

    def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    def replace(self, key: str, body: bytes, etag: str) -> None:
        self._rival(key)
        if self.get_with_etag(key)[1] != etag:
            raise AlreadyExists(key)
        self._written(key, body)

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def _written(self, key: str, body: bytes) -> None:
        self.objects[key] = body
        if self.answers_lost:
            raise AlreadyExists(key)

    def _rival(self, key: str) -> None:
        if self.rivals:
            self.objects[key] = self.rivals.pop()
