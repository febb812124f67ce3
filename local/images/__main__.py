"""`python -m local.images`: build the images, or pin the Debian packages anew."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pydantic import ValidationError

from local.console import say
from local.images.builders import Builder, BuildFailed, installed_builder
from local.images.catalogue import Image, UnknownImage, chosen
from local.images.debian_base import base_image
from local.images.record import Built, built, record
from local.images.sbom import write_sbom
from local.images.settings import ImageSettings
from local.layout import REPOSITORY
from local.lockfile import AlreadyRunning, exclusive
from local.prerequisites import MissingPrerequisite
from services.common.settings import explain
from services.common.version import running_version

DESCRIPTION = """\
The container images: a target of the Dockerfile each, built by buildah or Docker, whichever is installed.

  build [NAME…]  build all images, or those named; write NAME.tar (OCI archive) and NAME.sbom.json (CycloneDX)
                 to .tillstream/images/, and images.json with name, tag, digest and size of each
  lock           pin the Debian packages of images/debian.lock anew, at the versions that Debian has now
"""
_LOCK = REPOSITORY / "images" / "debian.lock"
_EXPECTED = (AlreadyRunning, BuildFailed, MissingPrerequisite)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = ImageSettings()
        settings.images_dir.mkdir(parents=True, exist_ok=True)
        with exclusive(settings.images_dir / ".lock", "another `make images` is running"):
            options.command(settings, options)
    except (ValidationError, UnknownImage) as error:
        return _refuse(2, explain(error) if isinstance(error, ValidationError) else str(error))
    except _EXPECTED as error:
        return _refuse(1, str(error))
    return 0


def build_command(settings: ImageSettings, options: argparse.Namespace) -> None:
    """`build`. Raises UnknownImage, BuildFailed, MissingPrerequisite."""
    images = chosen(options.names)
    builder = installed_builder(settings.images_builder)
    common = _common_arguments(settings, builder)
    for image in images:
        started = time.monotonic()
        done = _build(image, builder, settings, common, cached=not options.no_cache)
        record(settings.images_dir, [done])
        took = time.monotonic() - started
        say(f"{image.name:<24} {done.size / 1e6:6.1f} MB compressed, {took:5.1f} s, {done.digest}")


def lock_command(settings: ImageSettings, _options: argparse.Namespace) -> None:
    """`lock`. Raises BuildFailed, MissingPrerequisite."""
    builder = installed_builder(settings.images_builder)
    with tempfile.TemporaryDirectory() as folder:
        arguments = {**_common_arguments(settings, builder), "NOW": str(time.time_ns())}  # nothing cached
        builder.extract("debian-lock", arguments, Path(folder))
        _LOCK.write_text((Path(folder) / _LOCK.name).read_text())
    say(f"{len(_LOCK.read_text().splitlines())} packages in {_LOCK.relative_to(REPOSITORY)}")


def _build(image: Image, builder: Builder, settings: ImageSettings, common: dict[str, str], *, cached: bool) -> Built:
    tag = running_version().number
    archive = settings.images_dir.absolute() / f"{image.target}.tar"
    sbom = archive.with_suffix(".sbom.json")
    arguments = {**common, **({"IMAGE": image.contents} if image.contents else {})}
    builder.build(image.target, image.reference(tag), arguments, cached=cached)
    builder.export(image.reference(tag), archive)
    write_sbom(image, tag, archive, sbom)
    return built(image, tag, archive, sbom)


def _common_arguments(settings: ImageSettings, builder: Builder) -> dict[str, str]:
    base = base_image(settings.images_base, builder, settings.images_dir / "base")
    version = running_version()
    given = {"DEBIAN": base, "VERSION": version.number, "COMMIT": _commit(version.commit)}
    return {name: value for name, value in given.items() if value}


def _commit(commit: str | None) -> str | None:
    """The commit, marked where the checkout differs from it."""
    changes = ["git", "-C", str(REPOSITORY), "status", "--porcelain", "--untracked-files=no"]
    if commit and subprocess.run(changes, capture_output=True, check=False).stdout:
        return f"{commit}-changed"
    return commit


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m local.images", description=DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    build = commands.add_parser("build", help="build images")
    build.add_argument("names", nargs="*", metavar="NAME", help="e.g. gateway; none: all")
    build.add_argument("--no-cache", action="store_true", help="build every stage anew")
    build.set_defaults(command=build_command)
    commands.add_parser("lock", help="pin the Debian packages anew").set_defaults(command=lock_command)
    return parser


def _refuse(status: int, message: str) -> int:
    print(f"images: {message}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
