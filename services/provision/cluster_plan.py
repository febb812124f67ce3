"""What is missing in a Valkey cluster: who must meet whom, who gets slots, who copies whom. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class Peer:
    """A line of `CLUSTER NODES`: how one node sees another, or itself. `primary`: the id of the node that it copies."""

    id: str
    address: str
    flags: frozenset[str]
    primary: str | None
    connected: bool
    slots: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A node that answers: its id, where it runs, and how it sees the others by their ids."""

    id: str
    zone: str
    peers: Mapping[str, Peer]

    @property
    def itself(self) -> Peer:
        """Its own line."""
        return self.peers[self.id]


@dataclass(frozen=True, slots=True)
class Meet:
    """`member` has to learn the address of `other`."""

    member: str
    other: str


@dataclass(frozen=True, slots=True)
class Serve:
    """`member` gets the slots from `first` to `last`."""

    member: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Copy:
    """`member`, which has no slots, becomes a replica of `primary`."""

    member: str
    primary: str


@dataclass(frozen=True, slots=True)
class Forget:
    """`member` must forget a node that is gone for good."""

    member: str
    gone: str


Step = Meet | Serve | Copy | Forget


def parse_nodes(text: str) -> dict[str, Peer]:
    """The answer of `CLUSTER NODES`."""
    peers = (_peer(line.split()) for line in text.splitlines() if line.strip())
    return {peer.id: peer for peer in peers}


def _peer(words: list[str]) -> Peer:
    node_id, address, flags, primary, _ping, _pong, _epoch, link, *slots = words
    return Peer(
        id=node_id,
        address=address,
        flags=frozenset(flags.split(",")),
        primary=None if primary == "-" else primary,
        connected=link == "connected",
        slots=any(not slot.startswith("[") for slot in slots),
    )


def next_steps(members: Sequence[Member], replicas: int, complete: bool) -> list[Step]:
    """What to do now; look again afterwards. Empty: nothing is missing.

    `complete`: all nodes answer. Otherwise nobody is given slots and nobody is forgotten.
    """
    unknown: list[Step] = [*_introductions(members)]
    if unknown:
        return unknown
    if not any(peer.slots for member in members for peer in member.peers.values()):
        return list(_first_slots(members, replicas)) if complete else []
    gone = list(_departed(members)) if complete else []
    return [*gone, *_copies(members)]


def _introductions(members: Sequence[Member]) -> Iterator[Meet]:
    for member in members:
        for other in members:
            seen = member.peers.get(other.id)
            if other.id != member.id and (seen is None or not seen.connected):
                yield Meet(member.id, other.id)


def _first_slots(members: Sequence[Member], replicas: int) -> Iterator[Serve]:
    """Equal shares for the primaries, which are taken from as many zones as there are."""
    count = len(members) // (1 + replicas)
    chosen = spread(members)[:count]
    for number, member in enumerate(chosen):
        yield Serve(member.id, SLOTS * number // count, SLOTS * (number + 1) // count - 1)


def spread(members: Sequence[Member]) -> list[Member]:
    """The members in turn from each zone."""
    turns: Counter[str] = Counter()

    def turn(member: Member) -> int:
        turns[member.zone] += 1
        return turns[member.zone]

    return sorted(members, key=turn)  # stable


def _copies(members: Sequence[Member]) -> Iterator[Copy]:
    """A primary for each node without slots: first those that have the fewest replicas, in other zones if possible."""
    empty = sorted((m for m in members if not m.itself.slots and not m.itself.primary), key=lambda m: m.zone)
    chosen = sorted(_fewest_replicas_first(members, len(empty)), key=lambda m: m.zone)
    # Both are in the order of zones: moved on by the largest group, no zone meets itself while others are left.
    moved = max(Counter(m.zone for m in chosen).values(), default=0)
    for member, primary in zip(empty, chosen[moved:] + chosen[:moved], strict=False):
        yield Copy(member.id, primary.id)


def _fewest_replicas_first(members: Sequence[Member], count: int) -> Iterator[Member]:
    primaries = [member for member in members if member.itself.slots]
    having = Counter(member.itself.primary for member in members if member.itself.primary)
    for _ in range(count if primaries else 0):
        chosen = min(primaries, key=lambda each: (having[each.id], each.id))
        having[chosen.id] += 1
        yield chosen


def _departed(members: Sequence[Member]) -> Iterator[Forget]:
    """Nodes that came back empty, under a new id, and left their old one behind."""
    present = {member.id for member in members}
    for member in members:
        for peer in member.peers.values():
            if peer.id not in present and not peer.slots and "handshake" not in peer.flags:
                yield Forget(member.id, peer.id)
