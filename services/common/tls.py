"""TLS by files that may be renewed: each new connection uses the files as they are then."""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

# Of each file: when it was written, its size and its inode. A renewed Secret of Kubernetes is another inode.
_Versions = tuple[tuple[int, int, int], ...]


class BadTlsFiles(ValueError):
    """A certificate or key cannot be used. The message names file and reason."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. `ca`: who signs the other end's certificate; `cert` with its chain and `key`: our own."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __bool__(self) -> bool:
        return any((self.ca, self.cert, self.key))

    def versions(self) -> _Versions:
        """Differs once a file was replaced. Raises OSError."""
        found = [path.stat() for path in (self.ca, self.cert, self.key) if path is not None]
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)


NO_TLS = TlsFiles()


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Verifies servers by `ca` (without: by the system's authorities), shows `cert`. Raises BadTlsFiles."""
    return _RenewedContext(files, _load_client)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Serves `cert`; with `ca`, clients must show a certificate of it. Raises BadTlsFiles."""
    return _RenewedContext(files, _load_server)


def _load_client(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if files.ca is not None:  # alone: an own authority is there to trust no other
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load(files.ca, lambda: context.load_verify_locations(files.ca))
    _load_own(context, files)
    return context


def _load_server(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if files.cert is None:
        raise BadTlsFiles("a server needs a certificate")
    if files.ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        _load(files.ca, lambda: context.load_verify_locations(files.ca))
    _load_own(context, files)
    return context


def _load_own(context: ssl.SSLContext, files: TlsFiles) -> None:
    cert = files.cert
    if cert is not None:
        # Without `password` OpenSSL would ask the terminal for the one of an encrypted key.
        _load(cert, lambda: context.load_cert_chain(cert, files.key, password=""))
    elif files.key is not None:
        raise BadTlsFiles(f"{files.key} is the key of no certificate: name the certificate, too")


def _load(path: Path, load: Callable[[], object]) -> None:
    try:
        load()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        raise BadTlsFiles(f"{path} cannot be used: {reason}") from None


class _RenewedContext(ssl.SSLContext):
    """A context for asyncio that loads its files again once they have changed.

    asyncio and uvloop ask it for the TLS of each connection by `wrap_bio`. Files that cannot be used leave it as it
    was: a renewal may be half written.
    """

    def __new__(cls, files: TlsFiles, load: Callable[[TlsFiles], ssl.SSLContext]) -> "_RenewedContext":
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, files: TlsFiles, load: Callable[[TlsFiles], ssl.SSLContext]) -> None:
        self._files = files
        self._load_files = load
        self._seen: _Versions | None = None
        try:
            self._seen = files.versions()
        except OSError as error:
            raise BadTlsFiles(f"{error.filename} cannot be used: {error.strerror}") from None
        self._loaded = load(files)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """The TLS of one connection, with the files of now."""
        try:
            now = self._files.versions()
            if now != self._seen:
                self._seen = now
                self._loaded = self._load_files(self._files)
                logger.info("TLS files were renewed: %s", self._files.cert or self._files.ca)
        except (OSError, BadTlsFiles) as error:
            logger.error("the TLS files stay as they were: %s", error)
        return self._loaded.wrap_bio(*arguments, **options)
