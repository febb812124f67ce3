"""Customers who were erased, recognised without their ids. Pure.

The key is random and one for the bucket. Whoever has list and key can test an id, and cannot list any.
"""

from dataclasses import dataclass
from hashlib import blake2b

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Erased:
    """The erased customers as keyed digests (BLAKE2b). Their lines count, without a customer."""

    key: bytes
    digests: frozenset[bytes]

    def __contains__(self, user_id: str) -> bool:
        """Whether this customer was erased."""
        return digest_of(user_id, self.key) in self.digests

    def __len__(self) -> int:
        """How many were."""
        return len(self.digests)


def digest_of(user_id: str, key: bytes) -> bytes:
    """The keyed digest of an id."""
    return blake2b(user_id.encode(errors="surrogatepass"), key=key, digest_size=DIGEST_BYTES).digest()
