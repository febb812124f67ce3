"""The programs that build: buildah, or Docker with BuildKit."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from local.layout import REPOSITORY
from local.prerequisites import MissingPrerequisite

_EPOCH = "0"  # of all files and of the image: equal content has an equal digest, whenever it was built


class BuildFailed(Exception):
    """The builder ended with an error; its own messages say why."""


class Builder(Protocol):
    """Builds targets of the Dockerfile."""

    name: str

    def has(self, reference: str) -> bool:
        """Whether the builder's store has the image."""

    def make_base(self, root: Path, reference: str) -> None:
        """Make an image from the archive of a root file system. Raises BuildFailed."""

    def build(self, target: str, reference: str, arguments: Mapping[str, str], *, cached: bool = True) -> None:
        """Build a target into the builder's store; without `cached` every stage anew. Raises BuildFailed."""

    def export(self, reference: str, archive: Path) -> None:
        """Write an image of the store as an OCI archive. Raises BuildFailed."""

    def extract(self, target: str, arguments: Mapping[str, str], folder: Path) -> None:
        """Build a target and write its files to a folder. Raises BuildFailed."""


class Buildah:
    """buildah, without a daemon. Podman uses the same store."""

    name = "buildah"

    def has(self, reference: str) -> bool:
        """Whether the store has the image."""
        return _succeeds(["buildah", "inspect", "--type=image", reference])

    def make_base(self, root: Path, reference: str) -> None:
        """An image of one layer."""
        file = root.with_name("base.Dockerfile")
        file.write_text(_base_of(root))
        _run(["buildah", "build", "--format=oci", f"--file={file}", f"--tag={reference}", str(root.parent)])

    def build(self, target: str, reference: str, arguments: Mapping[str, str], *, cached: bool = True) -> None:
        """Layers are cached in the store."""
        _run([*self._build(target, arguments), *_anew(cached), f"--tag={reference}", str(REPOSITORY)])

    def export(self, reference: str, archive: Path) -> None:
        """Through a file of its own: the archive is whole or as it was."""
        partial = archive.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        _run(["buildah", "push", "--quiet", "--format=oci", reference, f"oci-archive:{partial}:{reference}"])
        partial.replace(archive)

    def extract(self, target: str, arguments: Mapping[str, str], folder: Path) -> None:
        """The target's files."""
        _run([*self._build(target, arguments), f"--output=type=local,dest={folder}", str(REPOSITORY)])

    def _build(self, target: str, arguments: Mapping[str, str]) -> list[str]:
        # What builds has no need of namespaces of its own, which not every machine grants.
        return [
            *("buildah", "build", "--quiet", "--layers", "--format=oci", "--isolation=chroot"),
            *(f"--timestamp={_EPOCH}", f"--target={target}"),
            *_build_arguments(arguments),
        ]


class Docker:
    """Docker 25 or later with BuildKit: `docker save` then writes OCI archives."""

    name = "docker"

    def has(self, reference: str) -> bool:
        """Whether the engine has the image."""
        return _succeeds(["docker", "image", "inspect", reference])

    def make_base(self, root: Path, reference: str) -> None:
        """An image of one layer."""
        _run(["docker", "import", str(root), reference])

    def build(self, target: str, reference: str, arguments: Mapping[str, str], *, cached: bool = True) -> None:
        """Layers are cached by BuildKit."""
        _run([*self._build(target, arguments), *_anew(cached), "--load", f"--tag={reference}", str(REPOSITORY)])

    def export(self, reference: str, archive: Path) -> None:
        """Through a file of its own: the archive is whole or as it was."""
        partial = archive.with_suffix(".partial")
        _run(["docker", "save", f"--output={partial}", reference])
        partial.replace(archive)

    def extract(self, target: str, arguments: Mapping[str, str], folder: Path) -> None:
        """The target's files."""
        _run([*self._build(target, arguments), f"--output=type=local,dest={folder}", str(REPOSITORY)])

    def _build(self, target: str, arguments: Mapping[str, str]) -> list[str]:
        given = {"SOURCE_DATE_EPOCH": _EPOCH, **arguments}
        return [
            "docker",
            "buildx",
            "build",
            "--quiet",
            "--provenance=false",
            f"--target={target}",
            *_build_arguments(given),
        ]


def installed_builder(asked: str) -> Builder:
    """The builder asked for, or the first one that is installed. Raises MissingPrerequisite."""
    builders: Sequence[Builder] = (Buildah(), Docker())
    for builder in builders:
        if asked in ("", builder.name) and shutil.which(builder.name):
            return builder
    raise MissingPrerequisite(
        f"no {asked or 'buildah or docker'} on PATH: on Debian apt-get install buildah fuse-overlayfs mmdebstrap"
    )


def _anew(cached: bool) -> list[str]:
    return [] if cached else ["--no-cache"]


def _build_arguments(arguments: Mapping[str, str]) -> list[str]:
    return [f"--build-arg={name}={value}" for name, value in arguments.items()]


def _base_of(root: Path) -> str:
    return f"FROM scratch\nADD {root.name} /\n"


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(command: list[str]) -> None:
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        raise BuildFailed(f"`{' '.join(command)}` failed: see above")
