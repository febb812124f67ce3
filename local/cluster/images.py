"""Images of the node: archives are imported into containerd, as there is no registry."""

from pathlib import Path

from local.cluster.components import CONTAINERD
from local.cluster.node import Node

_NAMESPACE = "k8s.io"


def import_archive(node: Node, archive: Path, reference: str = "", digest: str = "") -> None:
    """Import an image archive under the names it carries, else `reference`, and `reference@digest`.

    Raises NodeError.
    """
    _ctr(node, "images", "import", str(archive))
    if reference:
        _ctr(node, "images", "tag", "--force", reference, f"{reference}@{digest}")


def names(node: Node) -> list[str]:
    """Names of all images in the node. Raises NodeError."""
    return _ctr(node, "images", "list", "--quiet").split()


def remove(node: Node, name: str) -> None:
    """Remove an image's name. Raises NodeError."""
    _ctr(node, "images", "remove", name)


def _ctr(node: Node, *arguments: str) -> str:
    return node.call(str(node.programs / "ctr"), "--address", CONTAINERD, "--namespace", _NAMESPACE, *arguments)
