"""Prometheus and Alertmanager of the one-machine stack: they run where their programs are found.

The stack works without them, so nothing here fails it: a line says what is missing, or which port is in use.
"""

import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import yaml

from local.console import say
from local.engines import Engine, NotReady
from local.engines.private_files import write_private
from local.layout import REPOSITORY, RULES, Layout
from local.monitoring.programs import UNPACKED, Name, advice, program
from local.ports import LOOPBACK, is_free
from local.prerequisites import MissingPrerequisite
from local.process import Process, ProcessDied, Program
from local.settings import StackSettings

_ALERTMANAGER_FILE = REPOSITORY / "monitoring" / "alertmanager.yml"
# Debian's patch; where the package is only unpacked, its pages are not where the program looks for them.
_DEBIAN_PAGES = UNPACKED / "usr" / "share" / "prometheus" / "web"
_READY_S = 30


class _Server(Engine):
    """One of the two. It has no accounts: it listens on loopback alone, and its folder is its owner's alone."""

    name: Name

    @property
    def address(self) -> str:
        """Of its pages and its API."""
        return f"http://{LOOPBACK}:{self.port}"

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/-/ready", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _run(self, path: Path, options: Mapping[str, object]) -> Program:
        self.folder.chmod(0o700)
        flags = [f"--{name}={value}" for name, value in options.items()]
        return Program(self.name, [str(path), *flags], self.log, self.folder)


class Alertmanager(_Server):
    """Groups and silences alerts. It calls nobody unless monitoring/alertmanager.yml names a receiver."""

    name = "alertmanager"
    setting = "TILLSTREAM_ALERTMANAGER_PORT"

    def _program(self) -> Program:
        options = {
            "config.file": _ALERTMANAGER_FILE,
            "storage.path": self.folder,
            "web.listen-address": f"{LOOPBACK}:{self.port}",
            "cluster.listen-address": "",  # it has no other members
        }
        return self._run(program(self.name), options)


class Prometheus(_Server):
    """Scrapes every service of the stack, and evaluates monitoring/rules."""

    name = "prometheus"
    setting = "TILLSTREAM_PROMETHEUS_PORT"

    def __init__(self, folder: Path, log: Path, settings: StackSettings, *, die_with_parent: bool) -> None:
        super().__init__(folder, log, settings.prometheus_port, die_with_parent=die_with_parent)
        self._settings = settings

    def _program(self) -> Program:
        path = program(self.name)
        config = self.folder / "prometheus.yml"
        write_private(config, yaml.safe_dump(prometheus_config(self._settings), sort_keys=False))
        options = {
            "config.file": config,
            "storage.tsdb.path": self.folder / "data",
            "storage.tsdb.retention.time": "15d",
            "storage.tsdb.retention.size": "1GB",
            "enable-feature": "exemplar-storage",  # from a bucket of a histogram to a trace
            "web.listen-address": f"{LOOPBACK}:{self.port}",
            "web.cors.origin": self.address.replace(".", "[.]"),  # its default lets every web site read it
        }
        if path.is_relative_to(UNPACKED):
            options["web.local-assets"] = f"{_DEBIAN_PAGES}/"
        return self._run(path, options)


def prometheus_config(settings: StackSettings) -> dict[str, object]:
    """Targets by the ports of the stack, with the labels that rules and dashboards expect."""
    every = f"{settings.scrape_seconds}s"
    targets = {
        "gateway": settings.gateway_port,
        "archiver": settings.archiver_metrics_port,
        "aggregator": settings.aggregator_metrics_port,
        "recommender": settings.recommender_metrics_port,
        "producer": settings.producer_metrics_port,
        **({} if settings.s3_endpoint else {"s3": settings.s3_metrics_port}),
    }
    scraped = [{"targets": [f"{LOOPBACK}:{port}"], "labels": {"service": service}} for service, port in targets.items()]
    alertmanager = [{"targets": [f"{LOOPBACK}:{settings.alertmanager_port}"]}]
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [f"{RULES}/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": alertmanager}]},
        "scrape_configs": [{"job_name": "tillstream", "static_configs": scraped}],
    }


class Monitoring:
    """The two servers of one stack."""

    def __init__(self, layout: Layout, settings: StackSettings, *, die_with_parent: bool) -> None:
        alertmanager = Alertmanager(
            layout.engine("alertmanager"),
            layout.log("alertmanager"),
            settings.alertmanager_port,
            die_with_parent=die_with_parent,
        )
        prometheus = Prometheus(
            layout.engine("prometheus"), layout.log("prometheus"), settings, die_with_parent=die_with_parent
        )
        self.servers: list[_Server] = [alertmanager, prometheus]
        self._wanted = settings.monitoring and not settings.prometheus_url
        self._chosen: list[_Server] = []

    @property
    def environment(self) -> dict[str, str]:
        """Where the gateway asks for alerts, and what its page links to; of the servers that `choose` has chosen."""
        addresses = {server.name: server.address for server in self._chosen}
        links = {f"TILLSTREAM_{name.upper()}_LINK": address for name, address in addresses.items()}
        asked = addresses.get("prometheus")
        return {**links, **({"TILLSTREAM_PROMETHEUS_URL": asked} if asked else {})}

    def choose(self, running: Collection[str]) -> None:
        """Find out which of them can run, and say why the others cannot."""
        self._chosen = [server for server in self.servers if self._wanted and self._can_run(server, running)]

    def start(self, running: Mapping[str, Process], keep: Callable[[Process, str], Process]) -> None:
        """Start what was chosen and does not run. One that does not start costs a line."""
        for server in self._chosen:
            try:
                if server.name not in running:
                    keep(server.start(), server.address)
                server.wait_ready(_READY_S)
                say(f"{server.name:<12} {server.address}")
            except (NotReady, ProcessDied, MissingPrerequisite) as error:
                say(f"{server.name:<12} does not run: {error}")

    def _can_run(self, server: _Server, running: Collection[str]) -> bool:
        if server.name in running:
            return True
        try:
            program(server.name)
        except MissingPrerequisite:
            say(f"{server.name:<12} not found, so not started: {advice(server.name)}")
            return False
        if not is_free(server.port):
            say(f"{server.name:<12} not started: port {server.port} is in use; {server.setting} changes it")
            return False
        return True
