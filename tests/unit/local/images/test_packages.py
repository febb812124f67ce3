"""Packages of an image, found in its files, and the bill of materials made of them."""

import io
import json
import zipfile
from pathlib import Path

from local.images.catalogue import Image
from local.images.packages import Package, found_packages, page_packages
from local.images.sbom import document

CONTROL = (
    b"Package: libssl3\nVersion: 3.0.17-1~deb12u3\nArchitecture: amd64\nDescription: Secure Sockets Layer\n more\n"
)
METADATA = (
    b"Metadata-Version: 2.4\nName: Faust_Streaming\nVersion: 0.15.3\nLicense-Expression: BSD-3-Clause\n\nLong text\n"
)
OLD_METADATA = b"Name: numpy\nVersion: 2.4.6\nLicense: Copyright (c) 2005\n        Redistribution ...\n\n"


def jar(*entries: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry in entries:
            archive.writestr(entry, "")
    return buffer.getvalue()


def found(path: str, content: bytes) -> list[Package]:
    return list(found_packages([(path, content)]))


def test_a_debian_package_is_named_with_its_architecture_and_release() -> None:
    (package,) = found("var/lib/dpkg/status.d/libssl3", CONTROL)
    assert package.purl == "pkg:deb/debian/libssl3@3.0.17-1~deb12u3?arch=amd64&distro=debian-12"


def test_a_python_package_by_its_normal_name() -> None:
    (package,) = found("usr/local/lib/python3.11/dist-packages/faust-0.dist-info/METADATA", METADATA)
    assert (package.purl, package.licence) == ("pkg:pypi/faust-streaming@0.15.3", "BSD-3-Clause")


def test_a_licence_text_is_not_a_licence_name() -> None:
    (package,) = found("x/numpy-2.4.6.dist-info/METADATA", OLD_METADATA)
    assert package.licence == ""


def test_a_jar_by_the_coordinates_in_it_and_without_them_by_its_name() -> None:
    content = jar("META-INF/maven/org.apache.kafka/kafka-clients/pom.properties")
    assert found("opt/kafka/kafka-clients-4.3.1.jar", content)[0].purl == (
        "pkg:maven/org.apache.kafka/kafka-clients@4.3.1"
    )
    assert found("opt/kafka/scala-library-2.13.18.jar", jar())[0].purl == "pkg:maven/scala-library@2.13.18"


def test_other_files_are_no_packages() -> None:
    assert found("usr/lib/python3.11/json/decoder.py", b"") == []


def test_the_page_is_made_of_what_npm_installs_for_production(tmp_path: Path) -> None:
    packages = {
        "": {"name": "page"},
        "node_modules/react": {"version": "19.0.0", "license": "MIT"},
        "node_modules/@fontsource-variable/inter": {"version": "5.0.0"},
        "node_modules/vite": {"version": "8.0.0", "dev": True},
    }
    lock = tmp_path / "package-lock.json"
    lock.write_text(json.dumps({"packages": packages}))
    assert {package.purl for package in page_packages(lock)} == {
        "pkg:npm/react@19.0.0",
        "pkg:npm/%40fontsource-variable/inter@5.0.0",
    }


def test_the_same_image_gives_the_same_document_with_digest_packages_and_licences() -> None:
    packages = [Package("pkg:pypi/a@1", "a", "1", "MIT"), Package("pkg:pypi/b@2", "b", "2", "see the file LICENSE")]
    texts = [document(Image("gateway"), "0.2.0", "sha256:12", packages) for _ in range(2)]
    assert texts[0] == texts[1]
    bom = json.loads(texts[0])
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert bom["metadata"]["component"]["properties"] == [{"name": "oci:manifest:digest", "value": "sha256:12"}]
    assert {part["purl"]: part["licenses"][0]["license"] for part in bom["components"]} == {
        "pkg:pypi/a@1": {"id": "MIT"},
        "pkg:pypi/b@2": {"name": "see the file LICENSE"},
    }
