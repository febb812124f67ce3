"""Kustomizations of the base with any components, written into a copy of k8s/."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import yaml


def components(tree: Path) -> list[str]:
    """The folders of all components; those that only list others are left out."""
    found = [path.parent for path in sorted((tree / "components").rglob("kustomization.yaml"))]
    return [str(each.relative_to(tree / "components")) for each in found if "components" not in _read(each)]


def chosen(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Each alone, each pair, and all: two conflict by a name or a patch, and three only where two of them do."""
    return [*combinations(names, 1), *combinations(names, 2), tuple(names)]


def write(tree: Path, picked: Sequence[str]) -> Path:
    """A kustomization of the base with these components; returns its folder."""
    folder = tree / "combined" / "+".join(each.replace("/", "-") for each in picked)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "tillstream",
        "resources": ["../../base"],
        "components": [f"../../components/{each}" for each in picked],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


def _read(folder: Path) -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return content
