"""The image in which everything is built: any Debian 12. Nothing of it gets into an image.

It is made from Debian's packages where mmdebstrap is installed, so that no registry of images is needed; elsewhere
the Dockerfile's default is pulled.
"""

import re
import shutil
import subprocess
from pathlib import Path

from local.images.builders import Builder, BuildFailed

SUITE = "bookworm"
REFERENCE = f"localhost/tillstream/debian:{SUITE}"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_LOCAL = "usr/local/share/ca-certificates"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def base_image(asked: str, builder: Builder, scratch: Path) -> str | None:
    """The base's reference; None for the Dockerfile's default. Makes it at first use. Raises BuildFailed."""
    if asked:
        return asked
    if builder.has(REFERENCE):
        return REFERENCE
    if shutil.which("mmdebstrap") is None:
        return None
    scratch.mkdir(parents=True, exist_ok=True)
    root = scratch / "debian.tar"
    try:
        _bootstrap(root, scratch / "certificates")
        builder.make_base(root, REFERENCE)
    finally:
        shutil.rmtree(scratch)
    return REFERENCE


def _bootstrap(root: Path, certificates: Path) -> None:
    """Write the root file system of a small Debian that trusts whom this machine trusts, such as a company's proxy."""
    write_certificates(_CERTIFICATES, certificates)
    command = [
        *("mmdebstrap", "--quiet", "--variant=apt", "--include=ca-certificates"),
        f"--customize-hook=mkdir -p $1/{_LOCAL}",
        f"--customize-hook=copy-in {' '.join(map(str, sorted(certificates.iterdir())))} /{_LOCAL}",
        "--customize-hook=chroot $1 update-ca-certificates",
        *(SUITE, str(root)),
    ]
    if subprocess.run(command, check=False).returncode:
        raise BuildFailed("mmdebstrap failed: see above")


def write_certificates(bundle: Path, folder: Path) -> None:
    """Each certificate of a bundle as a file of its own, as update-ca-certificates wants them."""
    folder.mkdir()
    found = _PEM.findall(bundle.read_text()) if bundle.exists() else []
    for number, certificate in enumerate(found):
        (folder / f"machine-{number:03}.crt").write_text(certificate)
