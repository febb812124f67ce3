"""An authority of a test's own, and the files of what it signs."""

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from services.common.tls import TlsFiles

LOOPBACK_NAMES = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Authority:
    """A certificate authority whose certificates are files in `folder`."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        object.__setattr__(self, "_ca", trustme.CA())
        self._authority.cert_pem.write_to_path(str(self.ca))

    @property
    def _authority(self) -> trustme.CA:
        ca: trustme.CA = self.__dict__["_ca"]
        return ca

    @property
    def ca(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.pem"

    def issue(self, name: str, common_name: str | None = None) -> TlsFiles:
        """A certificate for this machine, and its key; another one at each call."""
        made = self._authority.issue_cert(*LOOPBACK_NAMES, common_name=common_name)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        # PKCS 8, the only form that Kafka reads.
        private = load_pem_private_key(made.private_key_pem.bytes(), None)
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        return TlsFiles(self.ca, cert, key)
