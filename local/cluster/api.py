"""The API server over HTTPS, for a program of the node that asks it again and again."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from local.cluster.addresses import API_PORT


class ApiError(Exception):
    """The API server refuses; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """JSON requests to the API server on this host, over one connection that is kept."""

    def __init__(self, pki: Path, identity: str = "admin") -> None:
        context = ssl.create_default_context(cafile=pki / "ca.crt")
        context.load_cert_chain(pki / f"{identity}.crt", pki / f"{identity}.key")
        self._connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, timeout=10, context=context)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer. Raises ApiError, OSError, http.client.HTTPException; after these the next call reconnects."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, content, {"Content-Type": kind})
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status >= 300:
            raise ApiError(answer.status, text.decode(errors="replace"))
        return json.loads(text)
