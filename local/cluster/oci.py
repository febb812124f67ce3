"""Image archives of one layer: for programs that need nothing but themselves."""

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PREFIX = "application/vnd.oci.image"


@dataclass(frozen=True, slots=True)
class SmallImage:
    """An image of a few files. `command` runs as user id `user`."""

    name: str
    files: tuple[Path, ...]
    command: tuple[str, ...]
    user: int = 65535


def write_archive(image: SmallImage, out: Path) -> None:
    """Write the image as an OCI archive, as containerd imports it. The same files give the same bytes."""
    layer = _layer(image.files)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"User": str(image.user), "Entrypoint": list(image.command)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    layers = [_descriptor("layer.v1.tar", layer)]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_PREFIX}.manifest.v1+json",
            "config": _descriptor("config.v1+json", config),
            "layers": layers,
        }
    )
    named = {**_descriptor("manifest.v1+json", manifest), "annotations": {"io.containerd.image.name": image.name}}
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(_index(named))}
    blobs = {f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}": blob for blob in (layer, config, manifest)}
    with tarfile.open(out, "w") as archive:
        for name, content in (files | blobs).items():
            _add(archive, name, content, mode=0o644)


def _index(manifest: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": f"{_PREFIX}.index.v1+json", "manifests": [manifest]}


def _layer(files: tuple[Path, ...]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for file in files:
            _add(layer, file.name, file.read_bytes(), mode=0o755)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": f"{_PREFIX}.{kind}", "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
