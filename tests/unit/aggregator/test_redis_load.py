"""Redis's own counts as metrics: by node, and across a restart of the server."""

from typing import Any, cast

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from services.aggregator.redis_load import RedisLoad
from services.common.redis_client import RedisClient
from tests.support.metrics import gauge, growth


class FakeInfo:
    """Answers INFO by section; an exception is raised."""

    def __init__(self) -> None:
        self.sections: dict[str, Any] = {}

    async def info(self, section: str) -> Any:
        answer = self.sections.get(section, {})
        if isinstance(answer, Exception):
            raise answer
        return answer


def value(metric: str, node: str) -> float | None:
    return gauge(f"redis_{metric}", node=node)


def scripts(calls: int, usec: int) -> dict[str, Any]:
    return {"cmdstat_evalsha": {"calls": calls, "usec": usec}, "cmdstat_get": {"calls": 9, "usec": 9}}


async def test_counts_go_on_where_the_server_begins_anew() -> None:
    calls, seconds = (growth(f"redis_script_{count}_total", node="redis") for count in ("calls", "seconds"))
    fake = FakeInfo()
    load = RedisLoad(cast(RedisClient, fake))
    fake.sections = {"memory": {"used_memory": 50, "maxmemory": 100}, "commandstats": scripts(1000, 5_000_000)}
    await load.look()
    assert (value("memory_used_bytes", "redis"), value("memory_max_bytes", "redis")) == (50, 100)
    assert calls() == 0, "what was before the first look is not counted"
    fake.sections["commandstats"] = scripts(1010, 5_200_000)
    await load.look()
    fake.sections["commandstats"] = scripts(4, 100_000)
    await load.look()
    assert calls() == 14
    assert round(seconds(), 6) == 0.3


async def test_a_cluster_is_reported_by_node() -> None:
    fake = FakeInfo()
    fake.sections = {
        "memory": {"a:1": {"used_memory": 1, "maxmemory": 0}, "b:2": {"used_memory": 2, "maxmemory": 9}},
        "latencystats": {"a:1": {"latency_percentiles_usec_evalsha": {"p50": 900.0, "p99": 4015.0}}, "b:2": {}},
    }
    await RedisLoad(cast(RedisClient, fake)).look()
    assert (value("memory_used_bytes", "a:1"), value("memory_used_bytes", "b:2")) == (1, 2)
    assert (value("script_p99_seconds", "a:1"), value("script_p99_seconds", "b:2")) == (0.004015, None)


async def test_a_section_that_is_forbidden_and_a_server_that_is_away_are_no_error() -> None:
    fake = FakeInfo()
    fake.sections = {"memory": {"c:3": {"used_memory": 3}}, "commandstats": ResponseError("NOPERM")}
    load = RedisLoad(cast(RedisClient, fake))
    await load.look()
    assert value("memory_used_bytes", "c:3") == 3
    fake.sections["memory"] = RedisConnectionError("gone")
    await load.look()
    assert value("memory_used_bytes", "c:3") == 3
