"""Telemetry of a service: JSON logs, health, and an HTTP server for /metrics, /healthz and /readyz."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TextIO

from services.common.exposition import exposition
from services.common.metrics import BUILD_INFO, HEALTH_CHECK
from services.common.request_id import REQUEST_ID
from services.common.version import running_version

logger = logging.getLogger(__name__)

# An event loop that turned this long ago is taken for stuck. Even a starved machine turns it every few seconds.
STALL_AFTER_S = 30.0

# Probes and Prometheus need a handful of connections, and send a request at once. Who sends nothing for so long is cut
# off.
_TELEMETRY_CONNECTIONS = 32
_TELEMETRY_PATIENCE_S = 5.0

# As much as local/process.py keeps of each process's log at its start.
LOG_KEPT_BYTES = 20 * 1024 * 1024

Figure = float | int | str | None


class PortInUse(Exception):
    """Another process listens on the port; the message names the port and the setting."""

    def __init__(self, host: str, port: int, setting: str) -> None:
        super().__init__(f"port {port} on {host} is in use: stop what listens there or set {setting}")


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send every log record to stderr as one JSON object a line. A file there is kept short: see BoundedLog."""
    handler = BoundedLog(sys.stderr)
    handler.setFormatter(_JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("aiokafka.conn").addFilter(_hides_requests)
    version = running_version()
    BUILD_INFO.labels(version.number, version.commit or "").set(1)
    logger.info("Tillstream %s", version)


def _hides_requests(record: logging.LogRecord) -> bool:
    """At DEBUG this logger writes every request to a broker, also the one with the password or token."""
    return record.levelno > logging.DEBUG


class BoundedLog(logging.StreamHandler[TextIO]):
    """Writes to a stream; where that is a file opened for appending, it never grows far beyond `kept_bytes`.

    A longer log is copied to `<name>.old`, replacing the one before, and the file is truncated: other writers that have
    it open for appending continue at its new end. Only where the system knows the file's name (Linux); a pipe or a
    terminal is written to as it is.
    """

    def __init__(self, stream: TextIO, kept_bytes: int = LOG_KEPT_BYTES) -> None:
        super().__init__(stream)
        self._kept_bytes = kept_bytes
        self._path = _appended_file(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and truncate the file where it has become too long."""
        super().emit(record)
        if self._path is not None and os.fstat(self.stream.fileno()).st_size > self._kept_bytes:
            shutil.copyfile(self._path, f"{self._path}.old")
            os.ftruncate(self.stream.fileno(), 0)


def _appended_file(stream: TextIO) -> str | None:
    try:
        descriptor = stream.fileno()
        mode, flags = os.fstat(descriptor).st_mode, fcntl.fcntl(descriptor, fcntl.F_GETFL)
        appended = stat.S_ISREG(mode) and flags & os.O_APPEND
        return str(Path(f"/proc/self/fd/{descriptor}").readlink()) if appended else None
    except OSError:  # a stream without a file, or a system without /proc
        return None


# What every record has, and uvicorn's own field: its message once more, with colours for a terminal.
_NOT_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class _JsonFormatter(logging.Formatter):
    """One JSON object a record; what a call passes as `extra` becomes keys of it, to filter by."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := REQUEST_ID.get()) is not None:
            entry["request_id"] = request_id
        for name, value in vars(record).items():
            if name not in _NOT_FIELDS and name not in entry:
                entry[name] = value
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class _Check:
    ok: bool
    detail: str


class Health:
    """The health of a service. Safe to use from several threads.

    alive = the event loop turns: `beat` was called within STALL_AFTER_S, or not yet. No engine and no other service
    has a part in it, so an outage restarts nothing. ready = every named check is ok, and the service is not stopping;
    with `stays_ready` a check that fails after the service was ready once is only reported.
    """

    def __init__(self, service: str, checks: Iterable[str] = (), *, stays_ready: bool = False) -> None:
        self.service = service
        self.draining = False
        self._checks: dict[str, _Check] = {}
        self._figures: dict[str, Figure] = {}
        self._stays_ready = stays_ready
        self._was_ready = False
        self._last_beat: float | None = None
        for name in checks:
            self.set(name, False, "not yet")

    def set(self, check: str, ok: bool, detail: str = "") -> None:
        """The outcome of one check."""
        self._checks[check] = _Check(ok, detail)
        HEALTH_CHECK.labels(check).set(ok)
        self._was_ready = self._was_ready or self._all_ok

    def report(self, figure: str, value: Figure) -> None:
        """A figure for people, shown by /readyz (metrics are for machines)."""
        self._figures[figure] = value

    def beat(self) -> None:
        """Record that the event loop turns."""
        self._last_beat = time.monotonic()

    def drain(self) -> None:
        """The service stops: it is not ready any more, and never again."""
        self.draining = True

    @property
    def ready(self) -> bool:
        """Whether work may be sent here."""
        return not self.draining and (self._all_ok or (self._stays_ready and self._was_ready))

    @property
    def _all_ok(self) -> bool:
        return all(check.ok for check in list(self._checks.values()))

    @property
    def alive(self) -> bool:
        """Whether the event loop turns."""
        return self._last_beat is None or time.monotonic() - self._last_beat < STALL_AFTER_S

    def describe(self) -> dict[str, Any]:
        """The body of /readyz."""
        version = running_version()
        return {
            "service": self.service,
            "version": version.number,
            "commit": version.commit,
            "ready": self.ready,
            "draining": self.draining,
            "checks": {name: {"ok": check.ok, "detail": check.detail} for name, check in self._checks.items()},
            "figures": dict(self._figures),
        }


class _BoundedServer(ThreadingHTTPServer):
    """A thread for each connection, and only so many: a new one ends the oldest, so a probe always gets through."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = None
            oldest = next(iter(self._open)) if len(self._open) > _TELEMETRY_CONNECTIONS else None
            if oldest is not None:
                del self._open[oldest]
        if oldest is not None:
            with contextlib.suppress(OSError):  # it has just ended
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)


class TelemetryServer:
    """Serves /metrics, /healthz and /readyz from a thread of its own, so that a busy event loop cannot hide it.

    Raises PortInUse on construction.
    """

    def __init__(self, host: str, port: int, health: Health, setting: str = "TILLSTREAM_METRICS_PORT") -> None:
        try:
            self._server = _BoundedServer((host, port), _handler(health))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(host, port, setting) from None
            raise
        self._thread = threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on (the one chosen, where 0 was asked for)."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    routes: dict[str, Callable[[str], tuple[HTTPStatus, str, bytes]]] = {
        "/metrics": lambda accept: (HTTPStatus.OK, *exposition(accept)),
        "/healthz": lambda _: _json(health.alive, {"alive": health.alive}),
        "/readyz": lambda _: _json(health.ready, health.describe()),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = _TELEMETRY_PATIENCE_S

        def do_GET(self) -> None:
            route = routes.get(self.path.partition("?")[0])
            accept = self.headers.get("Accept", "")
            found = route(accept) if route else (HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
            status, content_type, body = found
            with contextlib.suppress(ConnectionError):  # a probe that disconnects is no error
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """No log line: probes come every few seconds."""

    return Handler


def _json(ok: bool, body: dict[str, Any]) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(body).encode()
