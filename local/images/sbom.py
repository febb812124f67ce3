"""Bills of materials: a CycloneDX document per image, made from the archive that is shipped."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from local.images.archive import Archive, open_archive
from local.images.catalogue import Image
from local.images.packages import Package, found_packages, page_packages
from local.layout import REPOSITORY

_PAGE_LOCK = REPOSITORY / "web" / "package-lock.json"
_WITH_PAGE = "gateway"
_LICENCES = LicenseFactory()


def write_sbom(image: Image, tag: str, archive: Path, out: Path) -> None:
    """Write the image's bill of materials. The same archive gives the same document."""
    with open_archive(archive) as opened:
        packages = set(packages_of(opened))
        digest = opened.manifest.digest
    if image.target == _WITH_PAGE:
        packages |= set(page_packages(_PAGE_LOCK))
    out.write_text(document(image, tag, digest, sorted(packages)) + "\n")


def packages_of(archive: Archive) -> Iterable[Package]:
    """The packages of all layers."""
    for layer in archive.manifest.layers:
        yield from found_packages(archive.files(layer))


def document(image: Image, tag: str, digest: str, packages: list[Package]) -> str:
    """CycloneDX 1.6 as JSON."""
    subject = Component(name=image.name, version=tag, type=ComponentType.CONTAINER, bom_ref=image.name)
    subject.properties.add(Property(name="oci:manifest:digest", value=digest))
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"{image.name}@{digest}"), components=map(_component, packages))
    bom.metadata.component = subject
    bom.metadata.timestamp = datetime.fromtimestamp(0, UTC)  # as the image: no time of day in what is built
    bom.register_dependency(subject, list(bom.components))
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)


def _component(package: Package) -> Component:
    licences = [_LICENCES.make_from_string(package.licence)] if package.licence else []
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        purl=PackageURL.from_string(package.purl),
        bom_ref=package.purl,
        licenses=licences,
    )
