"""The cluster's certificates and kubeconfigs, new with each cluster."""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from local.cluster.addresses import API_PORT, API_SERVICE, FIRST, NodeAddress

_DAYS = "365"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_API_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate's file name, its subject, and the names it may serve under."""

    file: str
    subject: str
    names: str = "DNS:localhost"


IDENTITIES = (
    Identity(
        "apiserver",
        "/CN=kube-apiserver",
        ",".join([*(f"DNS:{name}" for name in _API_NAMES), "IP:127.0.0.1", f"IP:{API_SERVICE}", f"IP:{FIRST.ip}"]),
    ),
    Identity("admin", "/O=system:masters/CN=admin"),
    Identity("controller-manager", "/CN=system:kube-controller-manager"),
    Identity("scheduler", "/CN=system:kube-scheduler"),
    Identity("proxy", "/CN=system:kube-proxy"),
    Identity("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
    Identity("front-proxy", "/CN=front-proxy"),
)


def make_certificates(folder: Path, nodes: Iterable[NodeAddress]) -> None:
    """An authority, a certificate and a kubeconfig for each identity, and the key of ServiceAccount tokens."""
    folder.mkdir(mode=0o700, parents=True)
    _openssl(folder, "req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", _DAYS, "-subj", "/CN=ca")
    _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "accounts.key")
    _openssl(folder, "ec", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")
    for identity in [*IDENTITIES, *map(_kubelet, nodes)]:
        _sign(folder, identity)
        (folder / f"{identity.file}.kubeconfig").write_text(_kubeconfig(folder, identity.file))


def _kubelet(node: NodeAddress) -> Identity:
    names = f"DNS:{node.name},IP:127.0.0.1,IP:{node.ip}"
    return Identity(node.name, f"/O=system:nodes/CN=system:node:{node.name}", names)


def _sign(folder: Path, identity: Identity) -> None:
    file = identity.file
    (folder / "extensions").write_text(f"subjectAltName={identity.names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    _openssl(folder, "req", *_KEY, "-keyout", f"{file}.key", "-out", f"{file}.csr", "-subj", identity.subject)
    authority = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", _DAYS, "-extfile", "extensions")
    _openssl(folder, "x509", "-req", "-in", f"{file}.csr", *authority, "-out", f"{file}.crt")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _kubeconfig(folder: Path, file: str) -> str:
    """In JSON, which is YAML too."""
    cluster = {"server": f"https://{FIRST.ip}:{API_PORT}", "certificate-authority": str(folder / "ca.crt")}
    user = {"client-certificate": str(folder / f"{file}.crt"), "client-key": str(folder / f"{file}.key")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "node", "cluster": cluster}],
        "users": [{"name": file, "user": user}],
        "contexts": [{"name": "node", "context": {"cluster": "node", "user": file}}],
        "current-context": "node",
    }
    return json.dumps(config, indent=1)
