"""What runs within the build: the truststore for Java, and the code of an image."""

import subprocess
import sys
from pathlib import Path

import pytest

from images.java_truststore import truststore
from images.lay_out import CONTENTS
from local.images.debian_base import write_certificates
from local.layout import REPOSITORY
from local.prerequisites import java

MACHINE = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A bundle of three certificates that differ."""
    folder = tmp_path / "certificates"
    write_certificates(MACHINE, folder)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("".join(file.read_text() for file in sorted(folder.iterdir())[:3]))
    return bundle


def test_java_reads_the_truststore(certificates: Path, tmp_path: Path) -> None:
    store = tmp_path / "cacerts"
    store.write_bytes(truststore(certificates.read_text()))
    keytool = java().resolve().parent / "keytool"
    listed = subprocess.run(
        [keytool, "-list", "-keystore", store, "-storepass", "changeit"], capture_output=True, text=True, check=False
    )
    assert (listed.returncode, listed.stdout.count("trustedCertEntry")) == (0, 3), listed.stdout


def test_a_truststore_is_the_same_whatever_the_order(certificates: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    write_certificates(certificates, folder)
    backwards = "".join(file.read_text() for file in sorted(folder.iterdir(), reverse=True))
    assert truststore(backwards) == truststore(certificates.read_text())


@pytest.mark.parametrize("image", CONTENTS)
def test_the_code_of_an_image_is_copied_and_compiled(image: str, tmp_path: Path) -> None:
    script = REPOSITORY / "images" / "lay_out.py"
    subprocess.run([sys.executable, script, image, tmp_path / "app"], cwd=REPOSITORY, check=True, timeout=120)
    sources = sorted((tmp_path / "app").rglob("*.py"))
    compiled = sorted((tmp_path / "app").rglob("*.pyc"))
    assert sources
    assert len(compiled) == len(sources)
    assert all(file.read_bytes()[4:8] == b"\1\0\0\0" for file in compiled)  # a hash that is not checked, no time
    assert (tmp_path / "app" / "pyproject.toml").is_file()
