"""OCI archives: what an image consists of, read from the file that is shipped."""

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `size` in bytes, as stored in the archive."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image by its digest; `created_by` has an entry per layer."""

    digest: str
    layers: tuple[Layer, ...]
    config: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes of all layers, as stored and as transferred."""
        return sum(layer.size for layer in self.layers)


class Archive:
    """An open OCI archive of one image."""

    def __init__(self, file: tarfile.TarFile) -> None:
        self._file = file
        described = self._json(INDEX)["manifests"][0]
        manifest = self._json(_blob(described["digest"]))
        layers = tuple(Layer(layer["digest"], layer["size"]) for layer in manifest["layers"])
        self.manifest = Manifest(described["digest"], layers, self._json(_blob(manifest["config"]["digest"])))

    def files(self, layer: Layer) -> Iterator[tuple[str, bytes]]:
        """Path and content of each regular file of a layer, in its order."""
        stored = self._file.extractfile(_blob(layer.digest))
        with tarfile.open(fileobj=stored, mode="r:*") as content:
            for member in content:
                if member.isfile() and (file := content.extractfile(member)):
                    yield member.name.removeprefix("./"), file.read()

    def _json(self, name: str) -> dict[str, Any]:
        file = self._file.extractfile(name)
        assert file is not None
        content: dict[str, Any] = json.load(file)
        return content


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive for reading."""
    with tarfile.open(path) as file:
        yield Archive(file)


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
