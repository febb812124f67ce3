"""Builds the peers on demand, below `.tillstream/peers/`: versions and hashes are pinned next to their sources."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from local import prerequisites
from local.layout import REPOSITORY, STATE
from local.process import Program

PEERS = STATE / "peers"
_SOURCES = Path(__file__).parent
# One thread does the work, and the collector with the least CPU time.
_JAVA_OPTIONS = ("-Xmx1g", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


class WrongDownload(Exception):
    """What was downloaded is not what is pinned; the message says which file."""


def kafka_streams(broker: str, topic: str, redis_url: str, folder: Path) -> Program:
    """The peer in Kafka Streams; its state and its log go to `folder`. Raises MissingPrerequisite, WrongDownload."""
    sources, built = _SOURCES / "kafka_streams", PEERS / "kafka_streams"
    jars, classes, source = built / "jars", built / "classes", sources / "SalesTables.java"
    pinned = read_hashes(sources / "jars.sha256")
    if wrong_files(jars, pinned):
        copy = ("-B", "-q", "-ntp", "-f", str(sources / "pom.xml"), "dependency:copy-dependencies")
        _run([str(prerequisites.maven()), *copy, f"-DoutputDirectory={jars}"])
    if wrong := wrong_files(jars, pinned):
        raise WrongDownload(f"{', '.join(wrong)} in {jars}: not as pinned in {sources}; delete the folder")
    _run(["javac", "-d", str(classes), "-cp", f"{jars}/*", str(source)])
    java = [str(prerequisites.java()), *_JAVA_OPTIONS, "-cp", f"{classes}:{jars}/*"]
    arguments = [broker, topic, str(folder / "state")]
    argv, log = [*java, "SalesTables", *arguments], folder / "kafka-streams.log"
    return Program("kafka-streams", argv, log, folder, _redis(redis_url))


def quix(broker: str, topic: str, redis_url: str, folder: Path) -> Program:
    """The peer in Quix Streams, in a Python environment of its own; its log goes to `folder`."""
    argv = [str(_environment("quix")), "-m", "bench.peers.quix.sales_tables", broker, topic]
    return Program("quix-streams", argv, folder / "quix-streams.log", REPOSITORY, _redis(redis_url))


def _redis(url: str) -> dict[str, str]:
    """With its password, so not among the arguments, which every user of the machine reads."""
    return {"PEER_REDIS_URL": url}


def implicit_python() -> Path:
    """The Python of an environment with the library implicit."""
    return _environment("implicit_als")


def _environment(peer: str) -> Path:
    """The Python of a peer's own environment, installed as its lock says."""
    sources, python = _SOURCES / peer, PEERS / peer / "bin" / "python"
    lock, installed = sources / "requirements.lock", PEERS / peer / "installed.lock"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        _run([sys.executable, "-m", "venv", "--clear", str(PEERS / peer)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes", "-r", str(lock)])
        installed.write_bytes(lock.read_bytes())
    return python


def read_hashes(path: Path) -> dict[str, str]:
    """File name → SHA-256, as `sha256sum` writes them."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {name: digest for digest, name in lines}


def wrong_files(folder: Path, pinned: Mapping[str, str]) -> list[str]:
    """The names of files that are missing, differ from what is pinned, or are not pinned at all."""
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.glob("*")}
    return sorted(name for name in {*found, *pinned} if found.get(name) != pinned.get(name))


def _run(command: Sequence[str]) -> None:
    PEERS.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, check=True)
