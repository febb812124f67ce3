"""What is missing in a Valkey cluster, from how its nodes see each other."""

from dataclasses import replace

import pytest

from services.provision.cluster_plan import (
    SLOTS,
    Copy,
    Forget,
    Meet,
    Member,
    Peer,
    Serve,
    next_steps,
    parse_nodes,
    spread,
)

NODES = """\
07c3 10.0.0.1:6379@16379,valkey-0.valkey.shop.svc,shard-id=1 myself,master - 0 0 1 connected 0-5460 5462
67ed 10.0.0.2:6379@16379,valkey-1.valkey.shop.svc slave 07c3 0 1426238316232 1 connected
6ec2 :0@0 master,fail,noaddr - 1426238316232 1426238316232 0 disconnected
a1b2 10.0.0.3:6379@16379 master - 0 0 0 connected [93->-67ed]
"""


def test_the_lines_of_cluster_nodes() -> None:
    found = parse_nodes(NODES)
    assert found["07c3"] == Peer(
        "07c3",
        "10.0.0.1:6379@16379,valkey-0.valkey.shop.svc,shard-id=1",
        frozenset({"myself", "master"}),
        None,
        True,
        True,
    )
    assert found["67ed"].primary == "07c3"
    assert not found["67ed"].slots
    assert not found["6ec2"].connected
    assert not found["a1b2"].slots  # a slot on its way here is not served yet


def members(*zones: str) -> list[Member]:
    """Nodes 0, 1, … that all know each other, without slots."""
    ids = [str(number) for number in range(len(zones))]
    peers = {each: Peer(each, f"{each}:6379@16379", frozenset({"master"}), None, True, False) for each in ids}
    return [Member(each, zone, peers) for each, zone in zip(ids, zones, strict=True)]


def seen(given: list[Member], node: str, **changes: object) -> list[Member]:
    """The same, where everybody sees a node differently."""
    return [replace(m, peers={**m.peers, node: replace(m.peers[node], **changes)}) for m in given]  # type: ignore[arg-type]


def serving(*zones: str, primaries: int = 3) -> list[Member]:
    found = members(*zones)
    for number in range(primaries):
        found = seen(found, str(number), slots=True)
    return found


def test_first_everybody_is_introduced() -> None:
    alone = [Member(m.id, m.zone, {m.id: m.itself}) for m in members("a", "b")]
    assert next_steps(alone, 0, True) == [Meet("0", "1"), Meet("1", "0")]


def test_who_lost_an_address_is_introduced_again() -> None:
    first, second = serving("a", "b", primaries=2)
    first = replace(first, peers={**first.peers, "1": replace(first.peers["1"], connected=False)})
    assert next_steps([first, second], 0, True) == [Meet("0", "1")]


@pytest.mark.parametrize("count", [3, 6, 7])
def test_all_slots_are_given_once(count: int) -> None:
    steps = next_steps(members(*"abcabca"[:count]), 1 if count > 3 else 0, True)
    ranges = [(step.first, step.last) for step in steps if isinstance(step, Serve)]
    assert len(ranges) == len(steps) == 3
    assert [slot for first, last in ranges for slot in range(first, last + 1)] == list(range(SLOTS))


def test_primaries_are_in_different_zones() -> None:
    steps = next_steps(members("a", "a", "b", "b", "c", "c"), 1, True)
    assert [step.member for step in steps] == ["0", "2", "4"]
    assert [m.id for m in spread(members("a", "a", "b"))] == ["0", "2", "1"]


def test_nothing_is_begun_before_all_are_there() -> None:
    assert next_steps(members("a", "b", "c"), 0, complete=False) == []


@pytest.mark.parametrize("zones", ["abcabc", "abccba", "abcaabbcc", "aabb"])
def test_replicas_are_in_another_zone_than_their_primary(zones: str) -> None:
    given = serving(*zones, primaries=2 if zones == "aabb" else 3)
    if zones == "aabb":
        given = seen(seen(given, "1", slots=False), "2", slots=True)
    zone = {member.id: member.zone for member in given}
    steps = [step for step in next_steps(given, 1, True) if isinstance(step, Copy)]
    assert len(steps) == len(zones) - sum(member.itself.slots for member in given)
    assert all(zone[step.member] != zone[step.primary] for step in steps)


def test_in_one_zone_every_primary_gets_a_replica() -> None:
    steps = next_steps(serving("a", "a", "a", "a", "a", "a"), 1, True)
    assert sorted(step.primary for step in steps if isinstance(step, Copy)) == ["0", "1", "2"]


def test_the_primary_without_a_replica_comes_first() -> None:
    given = seen(seen(serving("a", "b", "c", "c", "a"), "3", primary="0"), "4", primary=None)
    (step,) = next_steps(given, 1, True)
    assert step == Copy("4", "1")


def test_who_came_back_under_a_new_id_is_forgotten_under_the_old_one() -> None:
    old = Peer("old", ":0@0", frozenset({"master", "fail"}), None, False, False)
    given = [replace(m, peers={**m.peers, "old": old}) for m in serving("a", "b", "c")]
    assert next_steps(given, 0, True) == [Forget("0", "old"), Forget("1", "old"), Forget("2", "old")]
    assert next_steps(given, 0, complete=False) == []


@pytest.mark.parametrize("kept", [{"slots": True}, {"flags": frozenset({"handshake"})}])
def test_nobody_is_forgotten_who_serves_or_is_just_coming(kept: dict[str, object]) -> None:
    old = replace(Peer("old", ":0@0", frozenset({"master", "fail"}), None, False, False), **kept)  # type: ignore[arg-type]
    given = [replace(m, peers={**m.peers, "old": old}) for m in serving("a", "b", "c")]
    assert next_steps(given, 0, True) == []


def test_a_complete_cluster_needs_nothing() -> None:
    given = serving("a", "b", "c", "a", "b", "c")
    for replica, primary in (("3", "1"), ("4", "2"), ("5", "0")):
        given = seen(given, replica, primary=primary, flags=frozenset({"slave"}))
    assert next_steps(given, 1, True) == []
