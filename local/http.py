"""HTTP client of the services' JSON endpoints."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Readiness:
    """Response of /readyz. `failing` = why it is not ready, else empty. `answered` = the service responded."""

    ready: bool
    failing: str
    answered: bool
    figures: dict[str, Any] = field(default_factory=dict)


def readiness(address: str, timeout_s: float = 2) -> Readiness:
    """Readiness of a service; one that does not respond is not ready."""
    try:
        body = get_json(f"{address}/readyz", timeout_s)
    except NoAnswer as error:
        return Readiness(False, str(error), answered=False)
    return readiness_of(body)


def readiness_of(body: dict[str, Any]) -> Readiness:
    """The verdict in the body of /readyz."""
    checks: dict[str, dict[str, Any]] = body.get("checks", {})
    failing = "; ".join(f"{name}: {check.get('detail', '')}" for name, check in checks.items() if not check["ok"])
    return Readiness(bool(body.get("ready")), failing, True, body.get("figures", {}))


class NoAnswer(Exception):
    """A service did not answer, or not in JSON."""


def get_json(url: str, timeout_s: float = 10) -> Any:
    """The JSON body, whatever the status. Raises NoAnswer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return _parsed(error.read(), url)
    except (OSError, ValueError) as error:
        raise NoAnswer(f"no answer from {url}: {error}") from None


def _parsed(body: bytes, url: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise NoAnswer(f"no JSON from {url}") from None
