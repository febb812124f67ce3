"""Apache Kafka, one node in KRaft mode, run with `java` from the jars that `make jars` fetches."""

import asyncio
import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from local import prerequisites
from local.engines.engine import Engine
from local.layout import CLASSES, JARS, REPOSITORY
from local.ports import LOOPBACK, inner_ports, is_listening
from local.prerequisites import MissingPrerequisite
from local.process import Program

_LOG_CONFIG = REPOSITORY / "local" / "kafka" / "log4j2.properties"

ARCHIVE = CLASSES / "kafka.jsa"
_MIB = 1024 * 1024
HEAP_BYTES = 512 * _MIB


class KafkaEngine(Engine):
    """One broker that is its own controller."""

    name = "kafka"
    setting = "TILLSTREAM_KAFKA_PORT"

    def __init__(
        self,
        folder: Path,
        log: Path,
        port: int,
        *,
        die_with_parent: bool = True,
        jars: Path = JARS / "kafka",
        classes: Path = ARCHIVE,
    ) -> None:
        super().__init__(folder, log, port, die_with_parent=die_with_parent)
        self._jars = jars
        self._classes = classes

    @property
    def address(self) -> str:
        """The bootstrap server."""
        return f"{LOOPBACK}:{self.port}"

    def _program(self) -> Program:
        java = self._java()
        config = self.folder / "server.properties"
        controller_port, *_ = inner_ports(1, self.port)
        config.write_text(
            server_properties(self.folder / "log", self.port, controller_port, self._more_properties(controller_port))
        )
        if not (self.folder / "log" / "meta.properties").exists():
            self._format(java, config)
        return Program(self.name, [*java, "kafka.Kafka", str(config)], self.log, self.folder, grace_s=30)

    def _more_properties(self, controller_port: int) -> Mapping[str, str]:
        """Properties beyond those of `server_properties`, or in their place."""
        return {}

    def _format_options(self) -> Sequence[str]:
        """Options of the storage tool, such as `--add-scram`."""
        return ()

    def _java(self) -> list[str]:
        if not any(self._jars.glob("kafka_*.jar")):
            raise MissingPrerequisite(f"no Kafka in {self._jars}: run `make jars`")
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        return [
            str(_checked_java()),
            *(
                "-Xms256m",
                f"-Xmx{HEAP_BYTES}",
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=50",
                "-XX:+ExitOnOutOfMemoryError",
            ),
            "-XX:-UsePerfData",  # it would write to /tmp
            f"-Djava.io.tmpdir={scratch}",
            f"-Dlog4j2.configurationFile={_LOG_CONFIG}",
            # Java ignores an archive of another Java or of other jars.
            *([f"-XX:SharedArchiveFile={self._classes}"] if self._classes.exists() else []),
            *("-cp", f"{self._jars}/*"),
        ]

    def _format(self, java: list[str], config: Path) -> None:
        tool = [*java, "kafka.tools.StorageTool", "format", "--config", str(config)]
        command = [*tool, "--cluster-id", _cluster_id(), *self._format_options()]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise RuntimeError(f"Kafka's storage could not be formatted:\n{answer.stdout}{answer.stderr}")

    def _answers(self) -> bool:
        return is_listening(self.port) and asyncio.run(_has_broker(self.address))


def server_properties(
    data: Path, port: int, controller_port: int, more: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The configuration of the single node: ours, then `more`. What is not named has Kafka's default."""
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        # There is one broker to hold the replicas of the internal topics, and few groups to spread over partitions.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # The broker's own logs: bounded by size, in segments small enough to be cleaned.
        "offsets.topic.segment.bytes": str(4 * _MIB),
        "metadata.log.segment.bytes": str(8 * _MIB),
        "metadata.max.retention.bytes": str(32 * _MIB),
        # No second controller whose lag records without content would show, twice a second.
        "metadata.max.idle.interval.ms": "10000",
        # No second consumer to wait for on one machine.
        "group.initial.rebalance.delay.ms": "0",
    }
    return "".join(f"{name}={value}\n" for name, value in {**properties, **more}.items())


@cache
def _checked_java() -> Path:
    """Java, whose version is asked for once a process: that starts a virtual machine."""
    return prerequisites.java()


def _cluster_id() -> str:
    # Kafka's own form of a UUID; its tools take a leading dash for an option.
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


async def _has_broker(bootstrap: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return bool(cluster["brokers"])
