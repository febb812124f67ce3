"""Sessions of the page, in Redis: every replica of the gateway knows them, and an end counts everywhere at once.

`tillstream:session:<SHA-256 of the token>` → JSON of Session, with the session's end as the key's expiry. Who reads
Redis learns no token.
"""

import hashlib
import secrets
import time

import msgspec

from services.common.redis_client import RedisClient
from services.gateway.access.roles import Principal, Role

_TOKEN_BYTES = 32
_PREFIX = "tillstream:session:"


class Session(msgspec.Struct, frozen=True):
    """Whose it is. `subject`: the person's id at the provider; `ends_ms`: epoch milliseconds."""

    name: str
    subject: str
    role: Role
    ends_ms: int

    @property
    def principal(self) -> Principal:
        """Who asks with it."""
        return Principal(self.name, self.role, self.subject)


class Sessions:
    """Opens, finds and ends sessions. All raise RedisError."""

    def __init__(self, redis: RedisClient, hours: float) -> None:
        self._redis = redis
        self.seconds = max(1, int(hours * 3600))

    async def open(self, name: str, subject: str, role: Role) -> str:
        """Open a session; returns its token, which nobody else has."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        session = Session(name, subject, role, time.time_ns() // 1_000_000 + self.seconds * 1000)
        await self._redis.set(_key(token), msgspec.json.encode(session), ex=self.seconds)
        return token

    async def find(self, token: str) -> Session | None:
        """The session of a token; None where there is none any more."""
        stored: bytes | str | None = await self._redis.get(_key(token))
        return None if stored is None else msgspec.json.decode(stored, type=Session)

    async def end(self, token: str) -> None:
        """End a session, if it is one."""
        await self.end_of(digest(token))

    async def end_of(self, its_digest: str) -> None:
        """End the session whose token has this digest, if there is one."""
        await self._redis.delete(_PREFIX + its_digest)


def digest(token: str) -> str:
    """Names a session, and opens none."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def _key(token: str) -> str:
    return _PREFIX + digest(token)
