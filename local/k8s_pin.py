"""`python -m local.k8s_pin OVERLAY`: an overlay whose images are named by digest, in .tillstream/k8s/OVERLAY.

The digests are those of `make images`. With `--registry`, the images are named as they were pushed there.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.layout import REPOSITORY, STATE

IMAGES = STATE / "images" / "images.json"


class NotBuilt(Exception):
    """There is no record of images."""


def main(arguments: list[str] | None = None) -> int:
    """Write the overlay; returns the exit status."""
    parser = argparse.ArgumentParser("python -m local.k8s_pin", description=__doc__)
    parser.add_argument("overlay", choices=sorted(path.name for path in (REPOSITORY / "k8s" / "overlays").iterdir()))
    parser.add_argument("--registry", default="", help="where the images were pushed, e.g. registry.example/shop")
    options = parser.parse_args(arguments)
    try:
        folder = write(options.overlay, images(IMAGES, options.registry), STATE / "k8s" / options.overlay)
    except NotBuilt as error:
        print(f"k8s-pin: {error}", file=sys.stderr)
        return 1
    print(f"kubectl apply -k {os.path.relpath(folder)}")
    return 0


def images(record: Path, registry: str) -> list[dict[str, str]]:
    """What kustomize's `images` takes: each image of the record by its digest. Raises NotBuilt."""
    try:
        entries: Mapping[str, Any] = json.loads(record.read_text())
    except FileNotFoundError:
        raise NotBuilt(f"no {record}: run `make images` first") from None
    prefix = f"{registry.rstrip('/')}/" if registry else ""
    return [
        {"name": entry["name"], "newName": prefix + entry["name"], "digest": entry["digest"]}
        for entry in entries.values()
    ]


def write(overlay: str, pinned: list[dict[str, str]], folder: Path) -> Path:
    """Write the kustomization; returns its folder. JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(REPOSITORY / "k8s" / "overlays" / overlay, folder)],
        "images": pinned,
    }
    (folder / "kustomization.yaml").write_text(json.dumps(content, indent=2) + "\n")
    return folder


if __name__ == "__main__":
    sys.exit(main())
