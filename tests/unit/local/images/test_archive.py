"""OCI archives: digest, layers and files of an image."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from local.images.archive import open_archive
from local.images.catalogue import Image
from local.images.record import built, record


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def archive_of(layers: list[bytes], path: Path) -> str:
    """Write an OCI archive; returns the digest of its manifest."""

    def described(content: bytes) -> dict[str, Any]:
        return {"mediaType": "", "digest": digest(content), "size": len(content)}

    config = json.dumps({"config": {"User": "65532"}}).encode()
    manifest = json.dumps({"config": described(config), "layers": [described(layer) for layer in layers]}).encode()
    index = json.dumps({"manifests": [described(manifest)]}).encode()
    blobs = {f"blobs/sha256/{digest(blob)[7:]}": blob for blob in (*layers, config, manifest)}
    path.write_bytes(tar_of({"index.json": index, **blobs}))
    return digest(manifest)


def test_a_manifest_has_its_digest_and_the_size_of_its_compressed_layers(tmp_path: Path) -> None:
    layers = [gzip.compress(tar_of({"a": b"one"})), gzip.compress(tar_of({"b": b"two"}))]
    expected = archive_of(layers, tmp_path / "image.tar")
    with open_archive(tmp_path / "image.tar") as archive:
        manifest = archive.manifest
    assert manifest.digest == expected
    assert manifest.size == sum(map(len, layers))
    assert manifest.config["config"]["User"] == "65532"


def test_files_of_a_layer_compressed_or_not(tmp_path: Path) -> None:
    files = {"./etc/name": b"value", "app/code.py": b"pass"}
    archive_of([gzip.compress(tar_of(files)), tar_of(files)], tmp_path / "image.tar")
    with open_archive(tmp_path / "image.tar") as archive:
        found = [dict(archive.files(layer)) for layer in archive.manifest.layers]
    assert found == [{"etc/name": b"value", "app/code.py": b"pass"}] * 2


def test_images_json_keeps_the_other_images(tmp_path: Path) -> None:
    archive, sbom = tmp_path / "image.tar", tmp_path / "image.sbom.json"
    first = archive_of([tar_of({"a": b"1"})], archive)
    record(tmp_path, [built(Image("gateway", "gateway"), "1.0", archive, sbom)])
    second = archive_of([tar_of({"a": b"2"})], archive)
    record(tmp_path, [built(Image("kafka"), "1.0", archive, sbom)])
    entries = json.loads((tmp_path / "images.json").read_text())
    assert {name: entry["digest"] for name, entry in entries.items()} == {"gateway": first, "kafka": second}
    assert entries["gateway"] | {"size_compressed": 0} == {
        "name": "tillstream/gateway",
        "tag": "1.0",
        "digest": first,
        "archive": str(archive),
        "sbom": str(sbom),
        "size_compressed": 0,
    }
