"""One broker with a listener for each way in which a client may be trusted."""

import base64
import json
import os
import socket
import stat
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.engines import KafkaEngine
from local.ports import LOOPBACK, free_ports
from services.common.tls import TlsFiles

USER, PASSWORD = "till", "a-password-of-tests"
_LOGIN = "org.apache.kafka.common.security"


class SecureKafka(KafkaEngine):
    """Apache Kafka with TLS: by SCRAM, by tokens (its own check of unsigned ones), by the client's certificate."""

    def __init__(self, folder: Path, log: Path, port: int, files: TlsFiles) -> None:
        super().__init__(folder, log, port)
        self._files = files
        self._by_way = dict(zip(("SCRAM", "OAUTH", "MUTUAL"), free_ports(3), strict=True))

    @property
    def ports(self) -> Mapping[str, int]:
        """Where clients connect."""
        return {**super().ports, **self._by_way}

    def variables(self, way: str) -> dict[str, Any]:
        """Settings of KafkaSettings that reach the listener; what differs by client is not among them."""
        common = {"kafka_bootstrap": f"{LOOPBACK}:{self._by_way[way]}", "kafka_ca_file": self._files.ca}
        match way:
            case "SCRAM":
                return {**common, "kafka_security": "sasl_tls", "kafka_user": USER, "kafka_password": PASSWORD}
            case "OAUTH":
                return {**common, "kafka_security": "sasl_tls", "kafka_sasl_mechanism": "OAUTHBEARER"}
            case _:
                return {**common, "kafka_security": "tls"}

    def _format_options(self) -> Sequence[str]:
        return ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")

    def _more_properties(self, controller_port: int) -> Mapping[str, str]:
        assert self._files.cert is not None
        assert self._files.key is not None
        own = self.folder / "own.pem"
        own.write_bytes(self._files.key.read_bytes() + self._files.cert.read_bytes())
        plain = f"PLAINTEXT://{LOOPBACK}:{self.port}"
        more = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in self._by_way.items())
        return {
            "listeners": f"{plain},CONTROLLER://{LOOPBACK}:{controller_port},{more}",
            "advertised.listeners": f"{plain},{more}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
            "SCRAM:SASL_SSL,OAUTH:SASL_SSL,MUTUAL:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(own),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._files.ca),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";',
            # The broker ends a connection whose token has expired.
            "listener.name.oauth.oauthbearer.connections.max.reauth.ms": "60000",
        }


def unsigned_token(lives_s: float) -> str:
    """A JSON Web Token without a signature, valid from now on for so long."""
    now = time.time()
    claims = {"sub": USER, "iat": now, "exp": now + lives_s}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def own_connections_to(ports: Collection[int]) -> list[int]:
    """Open files of this process that are connections to one of these ports."""
    return [file for file in _open_files() if _peer_port(file) in ports]


def _open_files() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/fd").iterdir()]


def _peer_port(file: int) -> int | None:
    try:
        if not stat.S_ISSOCK(os.fstat(file).st_mode):
            return None
        with socket.socket(fileno=os.dup(file)) as own:
            address = own.getpeername()
    except OSError:  # closed meanwhile, or not connected
        return None
    return address[1] if isinstance(address, tuple) else None
