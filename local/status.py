"""`status`: each engine and service with its process, its address, its health and how far it is behind."""

from dataclasses import dataclass

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from local.commands import detached_stack
from local.http import Readiness, readiness
from local.lag import Lag
from local.process import tail
from local.stack import PRODUCER, Stack
from local.steps import lag_now


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `fine` = it runs and is ready."""

    name: str
    state: str
    address: str
    health: str
    fine: bool


def status() -> bool:
    """Print the table; True where everything runs and is ready."""
    stack = detached_stack()
    stack.find(wherever=True)
    rows = [*_engine_rows(stack), *_service_rows(stack)]
    width = max(len(row.address) for row in rows)
    for row in [*rows, *_monitoring_rows(stack), *_producer_row(stack)]:
        print(f"{row.name:<12} {row.state:<14} {row.address:<{width}}  {row.health}".rstrip())
    return all(row.fine for row in rows)


def _engine_rows(stack: Stack) -> list[Row]:
    return [
        Row(engine.name, _state(stack, engine.name), engine.address, "", stack.is_running(engine.name))
        for engine in stack.engines
    ]


def _service_rows(stack: Stack) -> list[Row]:
    lag = _lag(stack)
    rows = []
    for service in stack.services:
        running = stack.is_running(service.name)
        verdict = readiness(service.health) if running else Readiness(False, "", False)
        health = _health(service.name, verdict, lag) if running else ""
        rows.append(Row(service.name, _state(stack, service.name), service.address, health, verdict.ready))
    return rows


def _monitoring_rows(stack: Stack) -> list[Row]:
    """Those that run or died: the stack works without them."""
    states = [(server, _state(stack, server.name)) for server in stack.monitoring.servers]
    return [Row(server.name, state, server.address, "", True) for server, state in states if state != "stopped"]


def _lag(stack: Stack) -> Lag | None:
    if not all(stack.is_running(engine.name) for engine in stack.engines):
        return None
    try:
        return lag_now(stack)
    except (KafkaError, RedisError, OSError):
        return None


def _state(stack: Stack, name: str) -> str:
    process = stack.process(name)
    if process and process.alive:
        return f"pid {process.identity.pid}"
    return "died" if stack.crashed(name) else "stopped"


def _health(name: str, verdict: Readiness, lag: Lag | None) -> str:
    words = ["ready" if verdict.ready else f"not ready ({verdict.failing})"]
    if lag and name == "aggregator":
        words.append(f"{lag.unapplied:,} of {lag.records:,} records to apply")
    if lag and name == "archiver":
        words.append(f"{lag.unarchived:,} to archive")
    if version := verdict.figures.get("model_version"):
        words.append(f"model {version}")
    return ", ".join(words)


def _producer_row(stack: Stack) -> list[Row]:
    if stack.is_running(PRODUCER):
        return [Row(PRODUCER, _state(stack, PRODUCER), "", _last_words(stack), True)]
    if stack.crashed(PRODUCER):
        return [Row(PRODUCER, "ended", "", _last_words(stack), True)]
    return []


def _last_words(stack: Stack) -> str:
    return tail(stack.layout.log(PRODUCER), lines=1).rpartition("\r")[2].strip()
