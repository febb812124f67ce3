"""Alerts that fire, asked of Prometheus in the background. Without its address nothing is asked."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from services.common.times import format_time, parse_time
from services.gateway.api.schemas.system import Alert, AlertsResponse, AlertsStatus
from services.gateway.runbook import RUNBOOKS, section_of
from services.gateway.settings import GatewaySettings
from services.gateway.upstreams.outages import OutageLog
from services.gateway.upstreams.trusted import trusted

MAX_ALERTS = 50
_TIMEOUT_SECONDS = 2.0
_MAX_BYTES = 1024 * 1024
_MAX_TEXT = 300
# It always fires. Where it does not, no rules are evaluated, and that nothing fires means nothing.
_WATCHDOG = "Watchdog"
_URGENCY = {"page": 0, "ticket": 1}


@dataclass(frozen=True, slots=True)
class Firing:
    """What fires, the most urgent first and the oldest of equals."""

    evaluated: bool
    alerts: list[Alert]


class AlertPoller:
    """Polls the alerts of one Prometheus."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        # Never through a proxy.
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False, verify=trusted())
        self._outages = OutageLog()
        self._status: AlertsStatus = "unknown" if settings.prometheus_url else "off"
        self._alerts: list[Alert] = []
        self._asked_ms: int | None = None

    async def refresh(self) -> None:
        """Ask once."""
        if self._settings.prometheus_url is None:
            return
        try:
            firing = firing_in(await self._body(f"{self._settings.prometheus_url.rstrip('/')}/api/v1/alerts"))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
            self._outages.started("Prometheus", error)
            self._status, self._alerts = "unreachable", []
        else:
            self._outages.recovered("Prometheus")
            self._status, self._alerts = "ok" if firing.evaluated else "not_evaluated", firing.alerts
        self._asked_ms = time.time_ns() // 1_000_000

    async def _body(self, url: str) -> bytes:
        """The answer, within the time. Raises ValueError for one that is too large."""
        body = b""
        async with asyncio.timeout(_TIMEOUT_SECONDS), self._http.stream("GET", url) as answer:
            answer.raise_for_status()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MAX_BYTES:
                    raise ValueError(f"more than {_MAX_BYTES} bytes of alerts")
        return body

    def response(self) -> AlertsResponse:
        """As last seen."""
        return AlertsResponse(
            status=self._status,
            as_of=None if self._asked_ms is None else format_time(self._asked_ms),
            firing=self._alerts[:MAX_ALERTS],
            more=max(0, len(self._alerts) - MAX_ALERTS),
            prometheus=self._settings.prometheus_link,
            alertmanager=self._settings.alertmanager_link,
            grafana=self._settings.grafana_link,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def firing_in(body: bytes) -> Firing:
    """Our firing alerts in the answer of `/api/v1/alerts`; ours name our runbook. Raises ValueError."""
    try:
        entries = [each for each in json.loads(body)["data"]["alerts"] if each["state"] == "firing"]
        ours = [each for each in entries if str(each["annotations"].get("runbook", "")).startswith(RUNBOOKS)]
        alerts = [_alert(each) for each in ours]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the answer of a Prometheus: {error}") from None
    urgent_first = sorted(alerts, key=lambda each: (_URGENCY.get(each.severity, 2), each.since, each.summary))
    return Firing(
        any(each.name == _WATCHDOG for each in alerts), [each for each in urgent_first if each.name != _WATCHDOG]
    )


def _alert(entry: Mapping[str, Any]) -> Alert:
    labels, annotations = entry["labels"], entry["annotations"]
    section = section_of(str(annotations["runbook"]))
    return Alert(
        name=str(labels["alertname"])[:_MAX_TEXT],
        severity=str(labels.get("severity", ""))[:_MAX_TEXT],
        summary=str(annotations.get("summary", ""))[:_MAX_TEXT],
        since=format_time(parse_time(str(entry["activeAt"]))),
        runbook=section and f"/v1/system/runbook/{section}",
    )
