"""A port of the machine's loopback address, forwarded into the node: the page for a browser of this machine.

`python -m local.cluster.forward LISTENING_FD HOST PORT` runs in the node's network. The socket it listens on was made
before, in the machine's.
"""

import asyncio
import contextlib
import socket
import sys

from local.cluster.layout import ClusterLayout
from local.cluster.node import Node
from local.layout import REPOSITORY
from local.pidfiles import PidFiles
from local.ports import LOOPBACK, require_free
from local.process import Program, spawn, stop_together

_NAME = "forward"
_CHUNK = 64 * 1024


class Forward:
    """The forwarding process: started by one command, found and ended by another."""

    def __init__(self, layout: ClusterLayout, node: Node) -> None:
        self._layout = layout
        self._node = node
        self._files = PidFiles(layout.run)

    def start(self, port: int, host: str, host_port: int) -> str:
        """Forward the port to an address of the node's network; returns the page's. Replaces an earlier one.

        Raises PortInUse.
        """
        self.stop()
        require_free(port, "TILLSTREAM_CLUSTER_PORT")
        with socket.create_server((LOOPBACK, port)) as server:
            server.set_inheritable(True)
            module = [sys.executable, "-m", "local.cluster.forward", str(server.fileno()), host, str(host_port)]
            argv = self._node.entering(*module)
            program = Program(_NAME, argv, self._layout.logs / "forward.log", REPOSITORY, grace_s=2)
            process = spawn(program, die_with_parent=False, keep_open=(server.fileno(),))
        address = f"http://{LOOPBACK}:{port}"
        self._files.write(process, address)
        return address

    def stop(self) -> None:
        """End it, if it runs."""
        if entry := self._files.read(_NAME):
            stop_together([entry.process()])
            self._files.forget(_NAME)

    @property
    def address(self) -> str | None:
        """The page's address; None where nothing is forwarded."""
        entry = self._files.read(_NAME)
        return entry.address if entry and entry.process().alive else None


async def serve(server: socket.socket, host: str, port: int) -> None:
    """Connect each client of the socket with the address, both ways, for ever."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        writer.close()

    listening = await asyncio.start_server(connect, sock=server)
    await listening.serve_forever()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()
    target.close()  # ends the other direction too: what HTTP needs, no half-open connection


if __name__ == "__main__":
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3])))
