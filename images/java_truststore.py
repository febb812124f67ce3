"""A truststore for Java from PEM certificates: `java_truststore.py CERTIFICATES.pem OUT`.

Java 17 cannot read PEM, and `keytool` puts the time of day into what it writes, so no two builds would be equal. The
format is JKS (sun.security.provider.JavaKeyStore), protected by the customary password that it needs and nobody hides.
"""

import base64
import hashlib
import re
import struct
import sys
from pathlib import Path

_MAGIC, _VERSION, _TRUSTED = 0xFEEDFEED, 2, 2
_PASSWORD = "changeit"
_SALT = b"Mighty Aphrodite"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def truststore(pem: str) -> bytes:
    """The certificates as trusted entries, each by an alias made from its fingerprint."""
    certificates = sorted({base64.b64decode(body) for body in _PEM.findall(pem)})
    body = struct.pack(">III", _MAGIC, _VERSION, len(certificates)) + b"".join(map(_entry, certificates))
    return body + hashlib.sha1(_PASSWORD.encode("utf-16-be") + _SALT + body).digest()


def _entry(certificate: bytes) -> bytes:
    alias = hashlib.sha256(certificate).hexdigest().encode()
    created = 0
    return (
        struct.pack(">I", _TRUSTED)
        + _text(alias)
        + struct.pack(">Q", created)
        + _text(b"X.509")
        + struct.pack(">I", len(certificate))
        + certificate
    )


def _text(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(truststore(Path(sys.argv[1]).read_text()))
