"""The stack of one round: real engines and every service, each a target of faults."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from local.engines import Engine, KafkaEngine, ValkeyEngine
from local.engines.valkey import url_of
from local.http import get_json, readiness
from local.lag import lag_probe
from local.layout import Layout
from local.model import batch_job
from local.ports import LOOPBACK, free_port
from local.process import Process, Program, spawn, stop_together, tail
from local.producer_run import ProducerRun
from local.services import SERVICES
from local.settings import StackSettings, free_port_settings
from local.stack import Stack
from services.common.object_store import ObjectStore
from services.provision.steps import TopicsStep
from tests.faults.clocks import HostClocks
from tests.faults.proxy import RedisProxy, S3Proxy
from tests.faults.schedule import RATE
from tests.support.engines import SMALL_JOBS

SESSION_S = 6  # the shortest that Kafka accepts
DISK_MB = 192
READY_S = 90
POLL_S = 0.2
FIRST = "aggregator-1"  # the one whose telemetry the gateway asks for
PREFERENCES = {
    "TILLSTREAM_ARCHIVE_OBJECT_AGE_S": "1",
    "TILLSTREAM_ARCHIVE_SESSION_TIMEOUT_S": str(SESSION_S),
    "TILLSTREAM_AGGREGATOR_SESSION_TIMEOUT_S": str(SESSION_S),
    "TILLSTREAM_KAFKA_METADATA_SECONDS": "2",  # new partitions are noticed while a trial runs
    "TILLSTREAM_AGGREGATOR_CHUNK": "100",  # several scripts a batch, so that crashes fall between them
    **SMALL_JOBS,
    "TILLSTREAM_SPARK_DRIVER_MEMORY": "1g",
    "TILLSTREAM_ALS_RANK": "4",
    "TILLSTREAM_ALS_ITERATIONS": "2",
    "TILLSTREAM_GATE_QUESTIONS": "1000000",  # too little to evaluate: that takes time and is tested elsewhere
}


class Rig:
    """Engines and services by name: kafka, valkey, s3, archiver, recommender, gateway, aggregator-1, aggregator-2, …

    An aggregator reaches Redis, and the archiver S3, through a proxy of its own. With `small_disks` the folders of
    Kafka and Valkey are file systems of `DISK_MB`.
    """

    def __init__(self, folder: Path, shards: int, *, small_disks: bool = False) -> None:
        self.layout = Layout(folder / "stack")
        self.files: list[Path] = []
        self.compared: dict[int, int] = {}  # partition of purchases → the offset before which all was compared
        self.processes: dict[str, Process] = {}
        self.redis_proxies: dict[str, RedisProxy] = {}
        self.waiting_for = ""
        self._aggregator_ports: dict[str, int] = {}
        self._folder = folder
        self._small_disks = small_disks
        self._mounted: list[Path] = []
        ports = {name.removeprefix("TILLSTREAM_").lower(): port for name, port in free_port_settings().items()}
        asked = StackSettings.model_validate({**ports, "shards": shards, "monitoring": False})
        preferences = {**PREFERENCES, "TILLSTREAM_SHARDS": str(shards)}
        self._stack = Stack(self.layout, asked, die_with_parent=True, preferences=preferences)
        self.engines: dict[str, Engine] = {engine.name: engine for engine in self._stack.engines}
        self.s3_proxy = S3Proxy(asked.s3_port)
        self.clocks = HostClocks(folder / "clocks")
        self.redis_port = asked.redis_port  # where the aggregators' way to Redis leads

    # --- what it is made of ---

    @property
    def settings(self) -> StackSettings:
        """Where everything is."""
        return self._stack.settings

    @property
    def kafka(self) -> KafkaEngine:
        """The broker."""
        engine = self.engines["kafka"]
        assert isinstance(engine, KafkaEngine)
        return engine

    @property
    def valkey(self) -> ValkeyEngine:
        """The live tables' server."""
        engine = self.engines["valkey"]
        assert isinstance(engine, ValkeyEngine)
        return engine

    @property
    def aggregators(self) -> list[str]:
        """The names of those that run."""
        return [name for name in self.processes if name.startswith("aggregator")]

    def store(self) -> ObjectStore:
        """The bucket, past the proxy; the caller closes it."""
        return ObjectStore(self._stack.s3)

    # --- start and stop ---

    def start(self) -> None:
        """Start everything; returns when all is ready. Raises what engines and services raise."""
        if self._small_disks:
            self._mount()
        self.s3_proxy.start()
        for engine in self.engines.values():
            self.processes[engine.name] = engine.start()
        for engine in self.engines.values():
            engine.wait_ready()
        with closing(self.store()) as store:
            store.create_bucket()
        asyncio.run(TopicsStep(self.settings, apply=True, say=print).run(READY_S))
        self.start_aggregator()
        names = [name for name in SERVICES if name != "aggregator"]
        for name in names:
            self.start_service(name)
        for name in names:
            self.wait_ready(name)
        self.wait_ready(self.aggregators[0])

    def stop(self) -> None:
        """Stop everything; the logs stay."""
        engines = [self.processes[name] for name in self.engines if name in self.processes]
        services = [process for process in self.processes.values() if process not in engines]
        for process in self.processes.values():
            _signal(process, signal.SIGCONT)
        for process in [*services, *engines]:
            process.kill()  # nothing of it is kept
            process.sweep()
        for proxy in [*self.redis_proxies.values(), self.s3_proxy]:
            proxy.stop()
        for engine in self.engines.values():
            engine.sweep()
        for folder in self._mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)

    def _mount(self) -> None:
        for engine in (self.kafka, self.valkey):
            engine.folder.mkdir(parents=True)
            mount_small(engine.folder)
            self._mounted.append(engine.folder)

    # --- one part ---

    def kill(self, name: str) -> None:
        """End a part as a crash does."""
        process = self.processes.pop(name)
        process.kill()
        process.sweep()

    def end(self, name: str) -> None:
        """Stop a part as its operator would."""
        stop_together([self.processes.pop(name)])

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        _signal(self.processes[name], signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        _signal(self.processes[name], signal.SIGCONT)

    def start_engine(self, name: str) -> None:
        """Start an engine that has ended; returns when it answers."""
        engine = self.engines[name]
        self.processes[name] = engine.start()
        engine.wait_ready()

    def start_service(self, name: str) -> None:
        """Start archiver, recommender or gateway."""
        program = _with_environment(self._stack.service(name).program, self.clocks.environment(name))
        self.processes[name] = spawn(
            _with_environment(program, self._s3_by_proxy) if name == "archiver" else program, die_with_parent=True
        )

    def start_second_archiver(self) -> str:
        """Start a second archiver; returns its name."""
        name = "archiver-2"
        program = replace(self._stack.service("archiver").program, name=name, log=self.layout.log(name))
        variables = {**self._s3_by_proxy, "TILLSTREAM_METRICS_PORT": str(free_port())}
        self.processes[name] = spawn(_with_environment(program, variables), die_with_parent=True)
        return name

    @property
    def _s3_by_proxy(self) -> dict[str, str]:
        return {"TILLSTREAM_S3_ENDPOINT": f"http://{LOOPBACK}:{self.s3_proxy.port}"}

    def start_aggregator(self, name: str | None = None) -> str:
        """Start one more aggregator, or one that has ended; returns its name."""
        name = name or next(free for n in range(1, 10) if (free := f"aggregator-{n}") not in self.processes)
        if name not in self.redis_proxies:
            self._aggregator_ports[name] = self.settings.aggregator_metrics_port if name == FIRST else free_port()
            self.redis_proxies[name] = RedisProxy(self.redis_port)
            self.redis_proxies[name].start()
        port = self._aggregator_ports[name]
        program = _with_environment(
            replace(self._stack.service("aggregator").program, name=name, log=self.layout.log(name)),
            {
                "TILLSTREAM_AGGREGATOR_INSTANCE": name,
                "TILLSTREAM_REDIS_URL": url_of(self.redis_proxies[name].port, self.valkey.password),
                "TILLSTREAM_AGGREGATOR_METRICS_PORT": str(port),
                **self.clocks.environment("aggregator"),
            },
        )
        self.processes[name] = spawn(program, die_with_parent=True)
        return name

    def health(self, name: str) -> str:
        """The address of a service's /readyz."""
        if not name.startswith("aggregator"):
            return self._stack.service(name).health
        return f"http://{LOOPBACK}:{self._aggregator_ports[name]}"

    def partitions(self, name: str) -> int:
        """How many partitions an aggregator says that it has."""
        return int(readiness(self.health(name)).figures.get("partitions", 0))

    def is_ready(self, name: str) -> bool:
        """Whether a service says that it is ready; the recommender is without a model, too."""
        verdict = readiness(self.health(name))
        return verdict.answered if name == "recommender" else verdict.ready

    def wait_ready(self, name: str, timeout_s: float = READY_S) -> None:
        """Wait until a service is ready. Raises TimeoutError, ProcessDied."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready(name):
            self.processes[name].require_alive()
            if time.monotonic() > deadline:
                log = self.processes[name].log
                raise TimeoutError(f"{name} is not ready after {timeout_s} s: {tail(log) if log else ''}")
            time.sleep(0.1)

    def lead_to_redis(self, port: int) -> None:
        """Lead the aggregators' new connections to the server at a port; open ones stay."""
        self.redis_port = port
        for proxy in self.redis_proxies.values():
            proxy.lead_to(port)

    # --- what flows ---

    def feed(self, file: Path, name: str = "producer") -> None:
        """Start the producer on a file, or go on with it where a producer has ended."""
        environment = {**self._stack.environment, **self.clocks.environment("producer")}
        program = ProducerRun(file, str(RATE)).program(self.settings, self.layout, environment, self.layout.log(name))
        self.processes[name] = spawn(replace(program, name=name), die_with_parent=True)

    def batch_job(self, until: str = "publish") -> Program:
        """The batch job up to a step, by default all of it."""
        job = batch_job(self._stack, self._folder / "spark", "run")
        return replace(job, argv=[*job.argv, "--until", until], log=self.layout.log("spark"))

    def spawn(self, program: Program) -> Process:
        """Run a program next to the services; it does not outlive the rig."""
        process = self.processes[program.name] = spawn(program, die_with_parent=True)
        return process

    def settle(self, timeout_s: float) -> float | None:
        """Wait until all that is in the topics now is applied and archived, the services are ready, and the stream
        has brought more or is over. Returns the seconds that took, None where it took too long.

        Raises ProcessDied for a part that ended by itself.
        """
        return asyncio.run(self._settle(timeout_s))

    async def _settle(self, timeout_s: float) -> float | None:
        started, ends = time.monotonic(), None
        while time.monotonic() - started < timeout_s:
            try:
                async with lag_probe(self.settings) as probe:
                    while time.monotonic() - started < timeout_s:
                        self.require_alive()
                        ends = ends or await probe.ends()
                        lag = await probe.lag(ends)
                        flows = self.fed or await probe.ends() != ends
                        self.waiting_for = (
                            f"{lag}; not ready: {self._unready()}; stream {'flows' if flows else 'stands'}"
                        )
                        if lag.settled and not self._unready() and flows:
                            return time.monotonic() - started
                        await asyncio.sleep(POLL_S)
            except (KafkaError, RedisError, OSError, TimeoutError) as error:
                self.waiting_for = repr(error)
                await asyncio.sleep(POLL_S)
        return None

    @property
    def fed(self) -> bool:
        """Whether the producer has sent everything, or none was started."""
        producer = self.processes.get("producer")
        return producer is None or producer.exit_code == 0

    def _unready(self) -> list[str]:
        services = [name for name in self.processes if name in SERVICES or name in self.aggregators]
        return [name for name in services if not self.is_ready(name)]

    def require_alive(self) -> None:
        """Raise ProcessDied if a part has ended by itself. A producer that has sent everything may."""
        for name, process in self.processes.items():
            if not (name.startswith("producer") and process.exit_code == 0):
                process.require_alive()

    def get(self, path: str) -> Any:
        """The JSON that the gateway answers. Raises NoAnswer."""
        return get_json(f"{self.settings.page}{path}")


def can_mount(folder: Path) -> bool:
    """Whether file systems may be mounted here."""
    probe = folder / "mount-probe"
    probe.mkdir(parents=True, exist_ok=True)
    try:
        mount_small(probe)
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", str(probe)], check=True)
    return True


def mount_small(folder: Path) -> None:
    """Mount a small file system of memory. Raises CalledProcessError, OSError where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def remove(folders: Iterable[Path]) -> None:
    """Remove folders of trials that need no looking at."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _with_environment(program: Program, more: dict[str, str]) -> Program:
    return replace(program, environment={**program.environment, **more})


def _signal(process: Process, number: signal.Signals) -> None:
    if process.alive:
        os.kill(process.identity.pid, number)
