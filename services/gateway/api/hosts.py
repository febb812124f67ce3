"""The allowed names in the `Host` header: protection against DNS rebinding by a foreign web page."""

import re
from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import Scope

from services.gateway.api.problems import Problem, shortened

ANY = "*"
# The platform's probes and Prometheus use the pod's address. These paths contain no customer data.
_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::\d*)?")


class AllowedHosts:
    """Checks the `Host` header of requests against the allowed names. Ports are ignored."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def check(self, scope: Scope) -> None:
        """Raises Problem 400 where the name is not allowed."""
        if ANY in self._names or scope["path"] in _OPEN_PATHS:
            return
        host = Headers(scope=scope).get("host", "")
        if host_name(host) not in self._names:
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                f"the gateway does not answer for host {shortened(host)!r}: add its name to TILLSTREAM_GATEWAY_HOSTS",
                title="The host is not in TILLSTREAM_GATEWAY_HOSTS",
            )


def host_name(header: str) -> str | None:
    """The name in a `Host` header, in lower case: `[::1]:8080` → `[::1]`; None where the header is invalid."""
    match = _HOST.fullmatch(header)
    return match[1].lower() if match else None
