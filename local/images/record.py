"""`.tillstream/images/images.json`: what was built, for manifests and for whoever imports the archives."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.images.archive import open_archive
from local.images.catalogue import Image
from local.layout import REPOSITORY


@dataclass(frozen=True, slots=True)
class Built:
    """One image: `size` is that of its compressed layers in bytes."""

    image: Image
    tag: str
    digest: str
    size: int
    archive: Path
    sbom: Path

    def entry(self) -> dict[str, Any]:
        """Its entry in images.json; paths are relative to the checkout where they are in it."""
        return {
            "name": self.image.name,
            "tag": self.tag,
            "digest": self.digest,
            "archive": _shown(self.archive),
            "sbom": _shown(self.sbom),
            "size_compressed": self.size,
        }


def built(image: Image, tag: str, archive: Path, sbom: Path) -> Built:
    """What the archive holds."""
    with open_archive(archive) as opened:
        manifest = opened.manifest
    return Built(image, tag, manifest.digest, manifest.size, archive, sbom)


def record(folder: Path, images: list[Built]) -> None:
    """Add the images to images.json, or replace their entries there."""
    path = folder / "images.json"
    entries = json.loads(path.read_text()) if path.exists() else {}
    entries |= {one.image.target: one.entry() for one in images}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")
    partial.replace(path)


def _shown(path: Path) -> str:
    path = path.absolute()
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)
