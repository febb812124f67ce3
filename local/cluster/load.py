"""Recommendations at a constant rate, from the node's network: `python -m local.cluster.load URL --users F --log F`.

Open loop: a request is due at its time, whatever happened to earlier ones. Each has a connection of its own. A request
whose connection fails before any answer is sent again at once, as an ingress does (nginx: proxy_next_upstream), and
after short pauses, as a client should: a Service goes on choosing a crashed pod until the kubelet reports it. Such
requests are counted. Every outcome is one line of JSON in the log. Ends with SIGTERM or after --seconds, when every
answer is in.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO
from urllib.parse import quote

import aiohttp

_ANSWER_S = 5.0
_CONNECT_S = 1.0
_PRODUCTS = 3
_PAUSES_S = (0.0, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request. `at` = when it was due (epoch seconds); `failure` is empty for a good answer."""

    at: float
    took_ms: float
    strategy: str
    failure: str
    retried: bool

    @classmethod
    def read(cls, log: Path) -> "list[Outcome]":
        """All outcomes of a log so far."""
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        return [cls(**json.loads(line)) for line in lines if line.endswith("\n")]


class Load:
    """Sends the requests and writes the outcomes."""

    def __init__(self, session: aiohttp.ClientSession, users: Sequence[str], log: IO[str]) -> None:
        self._session = session
        self._users = users
        self._log = log
        self._open: set[asyncio.Task[None]] = set()

    async def run(self, rate: float, stop: asyncio.Event, seconds: float) -> None:
        """Send until `stop` or for `seconds`, then wait for the answers."""
        began, number = time.time(), 0
        while not stop.is_set() and number < seconds * rate:
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.time()))
            task = asyncio.create_task(self._request(due, self._users[number % len(self._users)]))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            number += 1
        await asyncio.gather(*self._open)

    async def _request(self, due: float, user: str) -> None:
        connections: list[str] = []
        strategy, failure = "", ""
        try:
            strategy = await self._ask_until_answered(user, connections)
        except (aiohttp.ClientError, TimeoutError, NoRecommendation) as error:
            failure = f"{type(error).__name__}: {error}".rstrip(": ")
        took_ms = round((time.time() - due) * 1000, 1)
        outcome = Outcome(due, took_ms, strategy, failure, retried=len(connections) > 1)
        self._log.write(json.dumps(asdict(outcome)) + "\n")
        self._log.flush()

    async def _ask_until_answered(self, user: str, connections: list[str]) -> str:
        """Sends again when a connection ends without an answer, but not when the answer is bad or late."""
        for pause_s in _PAUSES_S:
            try:
                return await self._ask(user, connections)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(pause_s)
        return await self._ask(user, connections)

    async def _ask(self, user: str, connections: list[str]) -> str:
        path = f"/v1/users/{quote(user, safe='')}/recommendations?k={_PRODUCTS}"
        async with self._session.get(path, trace_request_ctx=connections) as answer:
            body = await answer.json(content_type=None)
            products = len(body.get("items", []))
            if answer.status != 200 or products != _PRODUCTS:
                raise NoRecommendation(f"status {answer.status}, {products} products")
            return str(body["strategy"])


class NoRecommendation(Exception):
    """An answer that is no recommendation."""


def open_session(url: str) -> aiohttp.ClientSession:
    """A session with a connection for each request, which is noted in the request's `connections`."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S, sock_connect=_CONNECT_S)
    # A pool that queues would close the loop.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_note_connection)
    headers = {"Host": "gateway"}
    return aiohttp.ClientSession(url, timeout=timeout, connector=connector, headers=headers, trace_configs=[trace])


async def _note_connection(_: aiohttp.ClientSession, request: SimpleNamespace, __: object) -> None:
    request.trace_request_ctx.append("connection")


async def run(options: argparse.Namespace) -> None:
    """Run as the command line says."""
    users = options.users.read_text().split()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with options.log.open("a") as log:
        async with open_session(options.url) as session:
            await Load(session, users, log).run(options.rate, stop, options.seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.cluster.load", description="Ask for recommendations.")
    parser.add_argument("url", help="the gateway, http://HOST:PORT")
    parser.add_argument("--users", type=Path, required=True, help="file of user ids, one a line, asked in turn")
    parser.add_argument("--log", type=Path, required=True, help="one line of JSON per request is appended")
    parser.add_argument("--rate", type=float, default=100, help="requests per second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=86_400, help="default: until SIGTERM")
    return parser.parse_args()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(_options()))
