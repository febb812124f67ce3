"""Packages of an image, found in its files: those of Debian, Python, Java, and the page's of npm."""

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packageurl import PackageURL

_DEBIAN = re.compile(r"var/lib/dpkg/status\.d/[^/]+$")
_PYTHON = re.compile(r".+\.dist-info/METADATA$")
_JAR = re.compile(r"([^/]+)-(\d[^/]*?)\.jar$")


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package. `licence` as its own metadata has it, mostly an SPDX expression; empty where they say nothing."""

    purl: str
    name: str
    version: str
    licence: str = ""


def found_packages(files: Iterable[tuple[str, bytes]]) -> Iterator[Package]:
    """The packages that files of an image (path, content) describe or are."""
    for path, content in files:
        if _DEBIAN.fullmatch(path):
            yield debian_package(content.decode())
        elif _PYTHON.fullmatch(path):
            yield python_package(content.decode())
        elif named := _JAR.search(path):
            yield java_package(content, named[1], named[2])


def debian_package(control: str) -> Package:
    """From the control file."""
    fields = HeaderParser().parsestr(control)
    name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
    qualifiers = {"arch": architecture, "distro": "debian-12"}
    return Package(PackageURL("deb", "debian", name, version, qualifiers).to_string(), name, version)


def python_package(metadata: str) -> Package:
    """From a distribution's METADATA."""
    fields = HeaderParser().parsestr(metadata)
    name, version = fields["Name"], fields["Version"]
    normal = re.sub(r"[-_.]+", "-", name).lower()
    licence = fields["License-Expression"] or fields["License"] or ""
    licence = licence if len(licence.splitlines()) == 1 else ""  # some have the whole text there
    return Package(PackageURL("pypi", name=normal, version=version).to_string(), name, version, licence)


def java_package(jar: bytes, name: str, version: str) -> Package:
    """From the coordinates that Maven leaves in a jar, or by its file name."""
    with zipfile.ZipFile(io.BytesIO(jar)) as archive:
        groups = [
            entry.split("/")[2]
            for entry in archive.namelist()
            if entry.startswith("META-INF/maven/") and entry.endswith(f"/{name}/pom.properties")
        ]
    return Package(PackageURL("maven", groups[0] if groups else None, name, version).to_string(), name, version)


def page_packages(lock: Path) -> Iterator[Package]:
    """What the page is bundled from: npm's lock without what only builds and tests it."""
    for path, entry in json.loads(lock.read_text())["packages"].items():
        if path and not entry.get("dev") and not entry.get("devOptional"):
            namespace, _, name = path.rpartition("node_modules/")[2].rpartition("/")
            version = entry["version"]
            purl = PackageURL("npm", namespace or None, name, version).to_string()
            yield Package(purl, f"{namespace}/{name}" if namespace else name, version, entry.get("license", ""))
