"""A real Prometheus that scrapes a stack every second, with the rules of monitoring/rules."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from local.http import NoAnswer, get_json
from local.monitoring.__main__ import RULES
from local.monitoring.promtool import program
from local.ports import LOOPBACK, free_port
from local.settings import StackSettings
from tests.support.polling import wait_until

_EVERY = "1s"


class Prometheus:
    """Answers queries."""

    def __init__(self, port: int) -> None:
        self._address = f"http://{LOOPBACK}:{port}"

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an expression, now. `$__rate_interval` is what Grafana would put in: four scrapes."""
        asked = quote(expr.replace("$__rate_interval", "4s"))
        answer = get_json(f"{self._address}/api/v1/query?query={asked}")
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def ready(self) -> bool:
        """Whether it has scraped something."""
        try:
            return bool(self.query("up == 1"))
        except NoAnswer:
            return False


@contextmanager
def prometheus(folder: Path, settings: StackSettings) -> Iterator[Prometheus]:
    """Scrape the services of a stack until the block is left."""
    port = free_port()
    command = [
        str(program("prometheus")),
        f"--config.file={_config(folder, settings)}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        running = Prometheus(port)
        wait_until(running.ready, "Prometheus scrapes")
        yield running
    finally:
        process.kill()
        process.wait()


def _config(folder: Path, settings: StackSettings) -> Path:
    targets = {
        "gateway": settings.gateway_port,
        "archiver": settings.archiver_metrics_port,
        "aggregator": settings.aggregator_metrics_port,
        "recommender": settings.recommender_metrics_port,
        "producer": settings.producer_metrics_port,
    }
    rules = [folder / path.name for path in sorted(RULES.glob("*.yml"))]
    for path in rules:
        path.write_text(re.sub(r"interval: \w+", f"interval: {_EVERY}", (RULES / path.name).read_text()))
    config = folder / "prometheus.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": _EVERY, "scrape_timeout": _EVERY, "evaluation_interval": _EVERY},
                "rule_files": [str(path) for path in rules],
                "scrape_configs": [
                    {
                        "job_name": "tillstream",
                        "static_configs": [
                            {"targets": [f"{LOOPBACK}:{port}"], "labels": {"service": service}}
                            for service, port in targets.items()
                        ],
                    }
                ],
            }
        )
    )
    return config
