"""Kustomizations of the base with any components, written into a copy of k8s/."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml


def components(tree: Path) -> list[str]:
    """The folders of all components; those that only list others are left out."""
    found = [path.parent for path in sorted((tree / "components").rglob("kustomization.yaml"))]
    return [str(each.relative_to(tree / "components")) for each in found if "components" not in _read(each)]


def chosen(tree: Path, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Each alone, all together, and each pair of which one changes what others bring. The rest only adds objects."""
    changing = {name for name in names if _changes(_read(tree / "components" / name))}
    pairs = [pair for pair in combinations(names, 2) if changing & set(pair)]
    return [*combinations(names, 1), *pairs, tuple(names)]


def _changes(content: Mapping[str, Any]) -> bool:
    generated = [*content.get("configMapGenerator", [])]
    merges = any(each.get("behavior", "create") != "create" for each in generated)
    return merges or bool(content.keys() - {"apiVersion", "kind", "resources", "configMapGenerator"})


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


def _read(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return content
