"""Many clients of the live stream in one cheap process: `python -m bench.soak.sse_clients --port P --clients N`.

Each client counts the snapshots of its connection and the time between them; it parses nothing. In addition, `--deaf`
sockets request the stream and do not read it; every two minutes they are closed and opened again. It ends on SIGTERM
and prints its counts as one JSON object.
"""

import argparse
import asyncio
import json
import signal
import socket
import sys
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field

import uvloop

from bench.recommend import percentile

_REQUEST = b"GET /v1/stats/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
_SNAPSHOT = b"event: snapshot\n"
_END = b"event: end\n"
_OPENED_TOGETHER = 20
_SETTLED_S = 5.0
_STALLED_FOR_S = 120.0
# By then the gateway must have dropped a stalled client: buffers fill first, then the queue.
_STALLED_DUE_S = 90.0
_STALLED_BUFFER_BYTES = 4096


@dataclass(slots=True)
class Tally:
    """What all clients together received. Gaps in seconds, measured once all have been connected for a while."""

    measuring: bool = False
    stopping: bool = False
    snapshots: int = 0
    received_bytes: int = 0
    gaps: "array[float]" = field(default_factory=lambda: array("f"))
    lost: Counter[str] = field(default_factory=Counter)


class SseClient(asyncio.Protocol):
    """One connection."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.BaseTransport | None = None
        self._seen_at: float | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self._transport = transport
        transport.write(_REQUEST)  # type: ignore[attr-defined]  # a TCP connection's transport can write

    def data_received(self, data: bytes) -> None:
        """Count."""
        tally = self._tally
        tally.received_bytes += len(data)
        seen = self._rest + data
        self._rest = seen[-len(_SNAPSHOT) + 1 :]  # a mark may come in two pieces
        for _ in range(seen.count(_SNAPSHOT)):
            self._snapshot()
        if _END in seen and not tally.stopping:
            tally.lost["ended by the server"] += 1

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody but us may close."""
        if not self._tally.stopping:
            self._tally.lost[type(error).__name__ if error else "closed"] += 1

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _snapshot(self) -> None:
        now = self._loop.time()
        self._tally.snapshots += 1
        if self._tally.measuring and self._seen_at is not None:
            self._tally.gaps.append(now - self._seen_at)
        self._seen_at = now


class StalledClients:
    """Sockets that request the stream and do not read it. A small buffer lets the gateway notice soon."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._count = count
        self._sockets: list[socket.socket] = []
        self._opened_at: list[float] = []

    async def reconnect_forever(self) -> None:
        """Open them all, and replace them every two minutes, until cancelled."""
        while True:
            self.close()
            self._sockets = [self._open() for _ in range(self._count)]
            await asyncio.sleep(_STALLED_FOR_S)

    def close(self) -> None:
        """Hang up."""
        for one in self._sockets:
            one.close()
        self._sockets = []

    @property
    def opened(self) -> int:
        """How many there were."""
        return len(self._opened_at)

    @property
    def due(self) -> int:
        """How many of them must have been noticed by now."""
        return sum(time.monotonic() - opened >= _STALLED_DUE_S for opened in self._opened_at)

    def _open(self) -> socket.socket:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _STALLED_BUFFER_BYTES)
        one.connect(("127.0.0.1", self._port))
        one.sendall(_REQUEST)
        self._opened_at.append(time.monotonic())
        return one


async def follow(port: int, clients: int, deaf: int) -> dict[str, object]:
    """Follow until SIGTERM; what was seen."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    tally, stalled = Tally(), StalledClients(port, deaf)
    sse_clients = await _connect(port, clients, tally)
    reconnecting = asyncio.create_task(stalled.reconnect_forever())
    await asyncio.sleep(_SETTLED_S)
    tally.measuring = True
    await stop.wait()
    tally.stopping = True
    reconnecting.cancel()
    stalled.close()
    for client in sse_clients:
        client.close()
    return _summary(tally, stalled)


async def _connect(port: int, clients: int, tally: Tally) -> list[SseClient]:
    loop = asyncio.get_running_loop()
    sse_clients: list[SseClient] = []
    while len(sse_clients) < clients:
        wanted = min(_OPENED_TOGETHER, clients - len(sse_clients))
        pairs = await asyncio.gather(
            *(loop.create_connection(lambda: SseClient(tally), "127.0.0.1", port) for _ in range(wanted))
        )
        sse_clients += [client for _transport, client in pairs]
        await asyncio.sleep(0.1)
    return sse_clients


def _summary(tally: Tally, stalled: StalledClients) -> dict[str, object]:
    return {
        "snapshots": tally.snapshots,
        "received_bytes": tally.received_bytes,
        "gaps": len(tally.gaps),
        "gap_p50_s": percentile(tally.gaps, 50),
        "gap_p99_s": percentile(tally.gaps, 99),
        "gap_longest_s": max(tally.gaps, default=0.0),
        "lost": dict(tally.lost),
        "deaf_opened": stalled.opened,
        "deaf_due": stalled.due,
    }


def main(arguments: list[str] | None = None) -> int:
    """Follow until SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak.sse_clients", description="Readers of the live stream.")
    parser.add_argument("--port", type=int, default=8080, help="the gateway's port")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--deaf", type=int, default=0, help="clients that read nothing")
    options = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(follow(options.port, options.clients, options.deaf))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
