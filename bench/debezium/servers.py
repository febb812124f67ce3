"""PostgreSQL of the system and Kafka Connect with Debezium's connector, as processes of a run."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.builds import PEERS, WrongDownload, read_hashes, wrong_files
from local import prerequisites
from local.ports import LOOPBACK

_POM = Path(__file__).with_name("pom.xml")
_INSTALLED = Path("/usr/lib/postgresql")
_SUPERUSER = "postgres"


def connect_jars() -> Path:
    """The jars of Kafka Connect and Debezium, which Maven gets once. Raises WrongDownload."""
    folder, pinned = PEERS / "debezium", read_hashes(_POM.with_name("jars.sha256"))
    if wrong_files(folder, pinned):
        shutil.rmtree(folder, ignore_errors=True)
        copy = ["-B", "-q", "-ntp", "-f", str(_POM), "dependency:copy-dependencies"]
        subprocess.run([str(prerequisites.maven()), *copy, f"-DoutputDirectory={folder}"], check=True)
    if wrong := wrong_files(folder, pinned):
        raise WrongDownload(f"{', '.join(wrong)} in {folder}: not as pinned")
    return folder


class Postgres:
    """A database of its own, without passwords, on the loopback."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        versions = sorted(_INSTALLED.glob("*/bin/initdb"))
        if not versions:
            raise SystemExit("PostgreSQL is missing: apt-get install postgresql")
        self._bin = versions[-1].parent

    @contextmanager
    def running(self) -> Iterator["Postgres"]:
        """Start it, and stop it afterwards."""
        self._folder.mkdir()
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            user = pwd.getpwnam(_SUPERUSER)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        data, log = self._folder / "data", self._folder / "log"
        options = f"-p {self.port} -c listen_addresses={LOOPBACK} -c unix_socket_directories={self._folder}"
        self._as_user("initdb", "-D", str(data), "-A", "trust", "-U", _SUPERUSER)
        self._as_user("pg_ctl", "-D", str(data), "-w", "-l", str(log), "-o", f"{options} -c wal_level=logical", "start")
        try:
            yield self
        finally:
            self._as_user("pg_ctl", "-D", str(data), "-m", "immediate", "stop")

    def _as_user(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        as_root = os.getuid() == 0
        given = {"user": _SUPERUSER, "group": _SUPERUSER, "extra_groups": []} if as_root else {}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **given)  # type: ignore[call-overload]

    def sql(self, statements: str) -> str:
        """Run statements; returns what they print, a row a line."""
        command = [str(self._bin / "psql"), "-h", LOOPBACK, "-p", str(self.port), "-U", _SUPERUSER, "-qAt"]
        done = subprocess.run(
            [*command, "-v", "ON_ERROR_STOP=1"], input=statements, text=True, check=True, stdout=subprocess.PIPE
        )
        return done.stdout.strip()


class Connect:
    """Kafka Connect in one process, with one connector."""

    def __init__(self, folder: Path, jars: Path, kafka: str, port: int, postgres: Postgres) -> None:
        folder.mkdir()
        self._log = folder / "log"
        worker = {
            "bootstrap.servers": kafka,
            "listeners": f"http://{LOOPBACK}:{port}",
            "offset.storage.file.filename": str(folder / "offsets"),
            "offset.flush.interval.ms": "1000",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        }
        connector = {
            "name": "shop",
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "plugin.name": "pgoutput",
            "database.hostname": LOOPBACK,
            "database.port": str(postgres.port),
            "database.user": _SUPERUSER,
            "database.password": "",
            "database.dbname": _SUPERUSER,
            "topic.prefix": "shop",
            "table.include.list": "public.order_lines",
            "topic.creation.default.partitions": "1",
            "topic.creation.default.replication.factor": "1",
        }
        for name, values in (("worker", worker), ("connector", connector)):
            lines = [f"{key}={value}" for key, value in values.items()]
            (folder / f"{name}.properties").write_text("\n".join(lines))
        java = [str(prerequisites.java()), "-Xmx384m", "-cp", f"{jars}/*"]
        program = "org.apache.kafka.connect.cli.ConnectStandalone"
        self._command = [*java, program, str(folder / "worker.properties"), str(folder / "connector.properties")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it goes on where it was."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
