"""The services' user on AWS (infra/rights.py) may do what the services do, and nothing that destroys tables."""

import ast
import re
from collections.abc import Iterator

import pytest
import redis

from infra.rights import VALKEY_ACCESS
from local.layout import REPOSITORY

USER = "services-on-aws"
# Methods of redis-py that are no command, or are named otherwise.
NO_COMMAND = {"aclose", "execute", "pipeline", "register_script", "connection_pool"}
NAMED = {"scan_iter": "scan", "delete": "del"}
# What redis-py sends by itself: connecting, finding a cluster's members, running a script, a transaction.
BY_CLIENT = (
    "HELLO 3",
    "CLIENT SETINFO LIB-NAME x",
    "PING",
    "CLUSTER SLOTS",
    "CLUSTER SHARDS",
    "COMMAND",
    "READONLY",
    "SCRIPT LOAD x",
    "SCRIPT EXISTS x",
    "EVALSHA x 0",
    "EVAL x 0",
    "MULTI",
    "EXEC",
    "INFO memory",
)


@pytest.fixture
def user(client: redis.Redis) -> Iterator[redis.Redis]:
    """The server, with the user."""
    client.execute_command("ACL", "SETUSER", USER, *VALKEY_ACCESS.split(), "nopass")  # type: ignore[no-untyped-call]
    yield client
    client.execute_command("ACL", "DELUSER", USER)  # type: ignore[no-untyped-call]


def commands_of_services() -> set[str]:
    """Called on a client or pipeline in Python, and in Lua."""
    found = set()
    for folder in ("aggregator", "gateway", "common", "deadletters"):
        for path in (REPOSITORY / "services" / folder).rglob("*.py"):
            found |= set(calls(ast.parse(path.read_text())))
    for path in (REPOSITORY / "services").rglob("*.lua"):
        found |= {name.lower() for name in re.findall(r"call\('([A-Z]+)'", path.read_text())}
    return found


def calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            on = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
            if on in {"redis", "pipe", "pipeline"} and node.func.attr not in NO_COMMAND:
                yield NAMED.get(node.func.attr, node.func.attr)


def may(server: redis.Redis, *words: str) -> bool:
    return server.execute_command("ACL", "DRYRUN", USER, *words) == b"OK"  # type: ignore[no-untyped-call,no-any-return]


def test_the_user_may_do_what_the_services_do(user: redis.Redis) -> None:
    commands = commands_of_services()
    assert {"hgetall", "hset", "scan", "xadd", "zrevrange"} <= commands  # it finds them in Python and in Lua
    arity = {name: abs(int(each["arity"])) for name, each in user.command().items()}
    refused = [name for name in sorted(commands) if not may(user, name, *["1"] * (arity[name] - 1))]
    assert refused == []
    assert [words for words in BY_CLIENT if not may(user, *words.split())] == []


@pytest.mark.parametrize(
    "words", ["FLUSHALL", "FLUSHDB", "CONFIG SET maxmemory 1", "KEYS *", "ACL LIST", "SHUTDOWN", "SWAPDB 0 1"]
)
def test_the_user_may_not_destroy_tables_or_change_the_server(user: redis.Redis, words: str) -> None:
    assert not may(user, *words.split())
