"""The archive's bucket in memory, and records to archive."""

from dataclasses import dataclass

from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists, NoSuchObject


@dataclass(frozen=True)
class LogRecord:
    offset: int
    timestamp: int
    value: bytes | None


class MemoryStore(ObjectStore):
    """The conditional write, metadata and listing of S3."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}

    def put_new(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        if key in self.objects:
            raise AlreadyExists(key)
        self.objects[key] = (body, metadata or {})

    def metadata(self, key: str) -> dict[str, str]:
        if key not in self.objects:
            raise NoSuchObject(key)
        return self.objects[key][1]

    def list(self, prefix: str, start_after: str = ""):  # type: ignore[no-untyped-def]
        return ((key, len(body)) for key, (body, _) in sorted(self.objects.items()) if key.startswith(prefix))
