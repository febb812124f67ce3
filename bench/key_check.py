"""What the check of a key or session costs: `python -m bench.key_check [--rounds N] [--requests N]`.

Three gateways answer the same request in turns: open, with an API key, with a session. /v1/config is their cheapest
route, so that the check is the largest part that it can be. For each: CPU of the gateway for one request and requests
a second of its CPU, the median of the rounds; and what the check adds, the median over the rounds of its CPU against
that of the open gateway in the same round. Rounds go forth and back, so that a machine that gets slower favours none.
The kernel counts CPU in hundredths of a second: longer rounds make that finer.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp

from bench.machine import cpu_seconds, machine, table
from local.engines import ValkeyEngine
from local.http import NoAnswer, get_json
from local.ports import free_port
from services.common.redis_client import connect
from services.common.settings import RedisSettings
from services.gateway.access.keys import new_key
from services.gateway.access.roles import Role
from services.gateway.login.cookies import Cookies
from services.gateway.login.sessions import Sessions
from tests.support.engines import running
from tests.support.gateway_process import environment
from tests.support.polling import wait_until

CONNECTIONS = 8
KEYS = 20
PATH = "/v1/config"


class Gateway:
    """A process, and the headers that it admits."""

    def __init__(self, name: str, headers: Mapping[str, str], settings: Mapping[str, str]) -> None:
        self.name = name
        self._headers = headers
        self._port = free_port()
        self.costs: list[float] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"],
            env=environment(gateway_port=self._port, log_level="ERROR", **settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            return bool(get_json(f"http://127.0.0.1:{self._port}/healthz"))
        except NoAnswer:
            return False

    async def measure(self, requests: int) -> None:
        """Add the CPU seconds of one request, of so many."""
        before = self._cpu()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self._port}", headers=self._headers) as session:
            await asyncio.gather(*(_ask(session, requests // CONNECTIONS) for _ in range(CONNECTIONS)))
        self.costs.append((self._cpu() - before) / (requests // CONNECTIONS * CONNECTIONS))

    def _cpu(self) -> float:
        return cpu_seconds(self.process.pid) or 0.0


async def _ask(session: aiohttp.ClientSession, requests: int) -> None:
    for _ in range(requests):
        async with session.get(PATH) as answer:
            if answer.status != 200:
                raise SystemExit(f"{PATH} answers {answer.status}")
            await answer.read()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.key_check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="of each gateway, in turns (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=6000, help="in a round (default: %(default)s)")
    options = parser.parse_args(arguments)
    with gateways() as found:
        asyncio.run(_measure(found, options.rounds, options.requests))
    print(f"GET {PATH}, {options.rounds} rounds of {options.requests:,} requests on {CONNECTIONS} connections")
    print(machine())
    print(table([("gateway", "CPU µs", "requests/s of a core", "more CPU"), *_rows(found)]))
    return 0


async def _measure(found: Sequence[Gateway], rounds: int, requests: int) -> None:
    for number in range(rounds + 1):
        for gateway in found if number % 2 else reversed(found):
            await gateway.measure(requests)
            if number == 0:
                gateway.costs.clear()  # the first round warms it up


def _rows(found: Sequence[Gateway]) -> Iterator[tuple[str, str, str, str]]:
    for gateway in found:
        cost = statistics.median(gateway.costs)
        more = statistics.median(own / plain for own, plain in zip(gateway.costs, found[0].costs, strict=True)) - 1
        yield gateway.name, f"{cost * 1e6:,.0f}", f"{1 / cost:,.0f}", f"{more:+.1%}"


@contextmanager
def gateways() -> Iterator[Sequence[Gateway]]:
    """An open one, one with keys and one with a login, next to a Valkey of their own."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        valkey = stack.enter_context(
            running(ValkeyEngine(folder / "data", folder / "log", free_port(), durable=False))
        ).address
        keys = [new_key(f"key {number}", Role.ADMIN) for number in range(KEYS)]
        path = folder / "keys.json"
        path.write_text(
            json.dumps({"keys": [{"name": e.name, "role": e.role, "sha256": e.sha256} for _key, e in keys]})
        )
        session = f"{Cookies(secure=False).session_name}={asyncio.run(_session(valkey))}"
        found = [
            Gateway("open", {}, {"redis_url": valkey}),
            Gateway(
                "API key", {"Authorization": f"Bearer {keys[0][0]}"}, {"redis_url": valkey, "api_keys_file": str(path)}
            ),
            Gateway("session", {"Cookie": session}, {"redis_url": valkey, **_login()}),
        ]
        for gateway in found:
            stack.callback(gateway.process.wait)
            stack.callback(gateway.process.kill)
        for gateway in found:
            wait_until(gateway.answers, f"the gateway {gateway.name!r} answers")
        yield found


async def _session(valkey: str) -> str:
    redis = connect(RedisSettings(redis_url=valkey))
    try:
        return await Sessions(redis, 1).open("bench", "bench", Role.ADMIN)
    finally:
        await redis.aclose()


def _login() -> dict[str, str]:
    """Of a provider that nobody asks."""
    return {
        "oidc_issuer": "http://127.0.0.1:1",
        "oidc_client_id": "bench",
        "oidc_client_secret": "bench",
        "oidc_roles": "bench=admin",
        "page_url": "http://127.0.0.1",
    }


if __name__ == "__main__":
    sys.exit(main())
