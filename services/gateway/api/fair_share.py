"""A bounded number of places, shared fairly by those who ask for them. Pure."""

from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

from starlette.types import Scope

Member = TypeVar("Member")

_IPV6_NETWORK = 64  # one customer of a provider has so many bits of an address, or fewer


class NoPlace(Exception):
    """All places are taken, and no owner has more than a fair share."""


class FairShare(Generic[Member]):
    """So many places. Where all are taken, the owner with the most gives its newest to an owner with fewer."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        # Owner → its members, oldest first.
        self._members: dict[str, dict[Member, None]] = {}

    def __len__(self) -> int:
        return self._taken

    def enter(self, owner: str, member: Member) -> Member | None:
        """Take a place; the member that lost it for that, if any. Raises NoPlace."""
        displaced = None if self._taken < self._places else self._displace(owner)
        self._members.setdefault(owner, {})[member] = None
        self._taken += 1
        return displaced

    def _displace(self, newcomer: str) -> Member:
        if not self._members:
            raise NoPlace
        owner = max(self._members, key=lambda each: len(self._members[each]))
        if len(self._members[owner]) <= len(self._members.get(newcomer, ())) + 1:
            raise NoPlace
        member = next(reversed(self._members[owner]))
        self.leave(owner, member)
        return member

    def leave(self, owner: str, member: Member) -> None:
        """Give a place back; nothing where the member has none."""
        members = self._members.get(owner)
        if members is None or member not in members:
            return
        del members[member]
        self._taken -= 1
        if not members:
            del self._members[owner]


def owner_of(scope: Scope) -> str:
    """Who sends a request: its address, or the network of an IPv6 address."""
    client = scope.get("client")
    return network_of(client[0] if client else "")


def network_of(address: str) -> str:
    """The address that limits apply to: `2001:db8::1` → `2001:db8::/64`; an IPv4 address is its own."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    low = 128 - _IPV6_NETWORK
    return f"{IPv6Address(int(parsed) >> low << low)}/{_IPV6_NETWORK}"
