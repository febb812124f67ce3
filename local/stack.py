"""Engines and services of one stack: start, watch, find again, stop."""

import asyncio
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping

from local.console import Ticker, say
from local.engines import KafkaEngine, S3Engine, ValkeyEngine
from local.http import readiness
from local.layout import Layout
from local.monitoring.servers import Monitoring
from local.pidfiles import PidFiles
from local.ports import require_free
from local.process import Process, Program, spawn, stop_together, tail
from local.services import SERVICES, Service, engine_environment, services
from local.settings import StackSettings
from local.stack_engines import own_engines
from services.common.settings import S3Settings
from services.provision.steps import TopicsStep, ensure_bucket

ENGINE_TIMEOUT_S = 180  # generous, since a process that dies is noticed at once
SERVICE_TIMEOUT_S = 120
PRODUCER = "producer"
PATIENT_S = 5  # a process with less grace is always stopped by a kill
_POLL_S = 0.2


class StackError(Exception):
    """The stack cannot do what was asked; the message says why in one line."""


class Stack:
    """One machine's engines and services, those that run and those that do not.

    With `die_with_parent` all processes end with this one. Otherwise they are kept in the pid files of the layout,
    where a later command finds them again. `preferences` are TILLSTREAM_ variables that hold where the user's
    environment has none.
    """

    def __init__(
        self,
        layout: Layout,
        settings: StackSettings,
        *,
        die_with_parent: bool,
        preferences: Mapping[str, str] | None = None,
    ) -> None:
        self.layout = layout
        self._asked = settings
        self._die_with_parent = die_with_parent
        self._preferences = preferences or {}
        self._pid_files = PidFiles(layout.run)
        self._running: dict[str, Process] = {}
        self.started: list[str] = []
        self.engines = own_engines(layout, settings, die_with_parent=die_with_parent)
        self.monitoring = Monitoring(layout, settings, die_with_parent=die_with_parent)

    # --- what it is made of ---

    @property
    def settings(self) -> StackSettings:
        """The settings with the addresses of the engines, ours where the user named none."""
        addresses: dict[str, object] = {}
        for engine in self.engines:
            match engine:
                case KafkaEngine():
                    addresses["kafka_bootstrap"] = engine.address
                case ValkeyEngine():
                    addresses["redis_url"] = engine.url
                case S3Engine():
                    s3 = engine.settings(self._asked.s3_bucket)
                    addresses["s3_endpoint"] = engine.address
                    addresses["s3_access_key"] = s3.s3_access_key
                    addresses["s3_secret_key"] = s3.s3_secret_key
        return self._asked.model_copy(update=addresses)

    @property
    def s3(self) -> S3Settings:
        """How to reach the bucket."""
        settings = self.settings
        return S3Settings(
            s3_endpoint=settings.s3_endpoint,
            s3_bucket=settings.s3_bucket,
            s3_access_key=settings.s3_access_key,
            s3_secret_key=settings.s3_secret_key,
        )

    @property
    def environment(self) -> dict[str, str]:
        """Addresses of the engines, and the preferences that the user's environment does not override."""
        preferred = {name: value for name, value in self._preferences.items() if name not in os.environ}
        return {**preferred, **engine_environment(self.settings), **self.monitoring.environment}

    @property
    def services(self) -> list[Service]:
        """The services in the order in which they start."""
        return services(self.settings, self.layout, self.environment)

    def service(self, name: str) -> Service:
        """One service."""
        return next(service for service in self.services if service.name == name)

    # --- start ---

    def start(self) -> None:
        """Start what does not run, and return when all of it is ready to work.

        Raises PortInUse, MissingPrerequisite, StackError before anything is started; ProcessDied, NotReady,
        StackError after.
        """
        self.find()
        self._require_ports()
        self.monitoring.choose(self._running)
        self.start_engines()
        self._start_services()
        self.monitoring.start(self._running, self._keep)

    def find(self, *, wherever: bool = False) -> None:
        """Find the processes that an earlier command has started.

        Raises StackError for a process that listens elsewhere than the settings say now, unless `wherever`.
        """
        for name, address in self._addresses():
            entry = self._pid_files.read(name)
            if entry is None or not entry.process().alive:
                continue
            if entry.address != address and not wherever:
                raise StackError(f"{name} runs at {entry.address}, but the settings say {address}: `make down` first")
            self._running[name] = entry.process()
        for program in (*self.engines, *self.monitoring.servers):
            program.process = self._running.get(program.name)

    def _addresses(self) -> Iterator[tuple[str, str]]:
        yield from ((engine.name, engine.address) for engine in self.engines)
        yield from ((service.name, service.address) for service in self.services)
        yield from ((server.name, server.address) for server in self.monitoring.servers)
        yield PRODUCER, ""

    def _require_ports(self) -> None:
        """Check every port before anything is started."""
        parts = {each.name: each.ports for each in self.engines} | {each.name: each.ports for each in self.services}
        for name, ports in parts.items():
            if name not in self._running:
                for setting, port in ports.items():
                    require_free(port, setting)

    def start_engines(self) -> None:
        """Start the engines that do not run, and provision them. Raises PortInUse, ProcessDied, NotReady."""
        if not self.layout.make_private():
            say(f"{self.layout.root} has other files too, and other users can look into it: use a folder of its own")
        for engine in self.engines:
            if engine.name not in self._running:
                self._keep(engine.start(), engine.address)
        say(f"waiting for {', '.join(engine.name for engine in self.engines) or 'the engines'}")
        for engine in self.engines:
            engine.wait_ready(ENGINE_TIMEOUT_S)
            say(f"{engine.name:<12} {engine.address}")
        asyncio.run(self._provision())

    async def _provision(self) -> None:
        await ensure_bucket(self.s3, ENGINE_TIMEOUT_S, say)
        await TopicsStep(self.settings, apply=True, say=say).run(ENGINE_TIMEOUT_S)

    def _start_services(self) -> None:
        for service in self.services:
            if service.name not in self._running:
                self._keep(spawn(service.program, self._die_with_parent), service.address)
        say(f"waiting for {', '.join(service.name for service in self.services)}")
        for service in self.services:
            self._wait_ready(service)
            say(f"{service.name:<12} {service.address}")

    def _wait_ready(self, service: Service) -> None:
        deadline = time.monotonic() + SERVICE_TIMEOUT_S
        tick = Ticker()
        while not (verdict := readiness(service.health)).ready:
            self.require_alive()
            if service.name == "recommender" and verdict.answered:
                return  # it becomes ready with its first model
            if time.monotonic() > deadline:
                raise StackError(
                    f"{service.name} is not ready after {SERVICE_TIMEOUT_S} s: {verdict.failing}\n"
                    f"the end of {self.layout.log(service.name)}:\n{tail(self.layout.log(service.name))}"
                )
            tick(f"{service.name}: {verdict.failing}")
            time.sleep(_POLL_S)

    def start_producer(self, program: Program) -> Process:
        """Start a producer in the background."""
        return self._keep(spawn(program, self._die_with_parent), "")

    def _keep(self, process: Process, address: str) -> Process:
        self._running[process.name] = process
        self.started.append(process.name)
        if not self._die_with_parent:
            self._pid_files.write(process, address)
        return process

    # --- watch ---

    @property
    def running(self) -> list[str]:
        """The names of what runs, in the order in which it was started or found."""
        return [name for name in self._running if self.is_running(name)]

    def is_running(self, name: str) -> bool:
        """Whether the engine, service or producer was started or found, and runs."""
        process = self._running.get(name)
        return process is not None and process.alive

    def process(self, name: str) -> Process | None:
        """The process of an engine, a service or the producer; None where it was neither started nor found."""
        return self._running.get(name)

    def crashed(self, name: str) -> bool:
        """Whether it was started, not stopped, and has ended."""
        entry = self._pid_files.read(name)
        return entry is not None and not entry.process().alive

    def require_alive(self) -> None:
        """Raise ProcessDied if a process has ended. A producer may, once it has sent everything; a watcher may."""
        watchers = [server.name for server in self.monitoring.servers]
        for process in self._running.values():
            if process.name not in watchers and not (process.name == PRODUCER and process.exit_code in (0, None)):
                process.require_alive()

    def require_running(self) -> None:
        """Find engines and services; raise StackError unless all of them run."""
        self.find()
        names = [*(engine.name for engine in self.engines), *SERVICES]
        missing = [name for name in names if not self.is_running(name)]
        if missing:
            raise StackError(f"{', '.join(missing)}: not running; `make up` starts the stack")

    # --- stop ---

    def stop(self, names: Collection[str] | None = None) -> None:
        """Stop what is named, or everything: producer and services first, then the engines in reverse order."""
        chosen = [process for name, process in self._running.items() if names is None or name in names]
        engines = {engine.name: engine for engine in self.engines}
        self._stop_together([process for process in chosen if process.name not in engines])
        for process in reversed([process for process in chosen if process.name in engines]):
            self._stop_together([process])
            engines[process.name].sweep()

    def wipe(self) -> None:
        """Delete the state of a stopped stack, and files that a killed engine left outside it."""
        for engine in self.engines:
            engine.sweep()
        shutil.rmtree(self.layout.root, ignore_errors=True)

    def _stop_together(self, processes: list[Process]) -> None:
        for process in stop_together(processes):
            if process.grace_s >= PATIENT_S:
                say(f"{process.name} did not stop within {process.grace_s:.0f} s and was killed: see {process.log}")
        for process in processes:
            self._running.pop(process.name, None)
            self._pid_files.forget(process.name)
