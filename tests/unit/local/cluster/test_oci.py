"""Image archives of one layer."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from local.cluster.oci import SmallImage, write_archive


def _write(folder: Path) -> Path:
    program = folder / "program"
    program.write_bytes(b"\x7fELF")
    out = folder / "image.tar"
    write_archive(SmallImage("localhost/program:1", (program,), ("/program",)), out)
    return out


def _blob(archive: tarfile.TarFile, digest: str) -> bytes:
    file = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
    assert file is not None
    content = file.read()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
    return content


def test_an_archive_holds_the_program_and_how_to_run_it(tmp_path: Path) -> None:
    with tarfile.open(_write(tmp_path)) as archive:
        index = archive.extractfile("index.json")
        assert index is not None
        [named] = json.load(index)["manifests"]
        manifest: dict[str, Any] = json.loads(_blob(archive, named["digest"]))
        config = json.loads(_blob(archive, manifest["config"]["digest"]))
        [layer] = (_blob(archive, each["digest"]) for each in manifest["layers"])
    assert named["annotations"] == {"io.containerd.image.name": "localhost/program:1"}
    assert config["config"] == {"User": "65535", "Entrypoint": ["/program"]}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        assert [(entry.name, entry.mode, entry.size) for entry in files] == [("program", 0o755, 4)]


def test_the_same_program_gives_the_same_archive(tmp_path: Path) -> None:
    assert _write(tmp_path).read_bytes() == _write(tmp_path).read_bytes()
