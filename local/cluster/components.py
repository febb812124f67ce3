"""The programs that make the node a cluster, with their arguments."""

import sys
from collections.abc import Iterable

from local.cluster.addresses import API_PORT, FIRST, POD_RANGE, SERVICE_RANGE
from local.cluster.init import Component, NodeSpec
from local.cluster.layout import ClusterLayout
from local.layout import REPOSITORY

CONTAINERD = "/run/containerd/containerd.sock"
_ETCD = "http://127.0.0.1:2379"
_ETCD_PORT, _API = "127.0.0.1:2379", f"{FIRST.ip}:{API_PORT}"


def node_spec(layout: ClusterLayout) -> NodeSpec:
    """What process 1 of the node makes and runs."""
    binds = {str(layout.config / "resolv.conf"): "/etc/resolv.conf"}
    address, build = layout.address, _Builder(layout)
    first = _control_plane(layout, build) if address == FIRST else []
    return NodeSpec(address.name, address.ip, str(layout.cache.usr), binds, [*first, *_every_node(layout, build)])


def _control_plane(layout: ClusterLayout, build: "_Builder") -> list[Component]:
    return [
        build.component("etcd", "", _etcd(layout)),
        build.component("kube-apiserver", _ETCD_PORT, _api_server(layout)),
        build.component("kube-controller-manager", _API, _controller_manager(layout)),
        build.component("kube-scheduler", _API, _scheduler(layout)),
        build.component("metrics-server", _API, _metrics_server(layout)),
        build.provisioner(),
    ]


def _every_node(layout: ClusterLayout, build: "_Builder") -> list[Component]:
    return [
        build.component("containerd", "", {"config": layout.config / "containerd.toml"}),
        build.component("kubelet", CONTAINERD, _kubelet(layout)),
        build.component("kube-proxy", _API, _proxy(layout)),
        build.component("kube-router", _API, _router(layout)),
    ]


class _Builder:
    """Components with the node's PATH and log files."""

    def __init__(self, layout: ClusterLayout) -> None:
        self._layout = layout
        path = f"{layout.cache.bin}:/usr/sbin:/usr/bin:/sbin:/bin"
        self._environment = {"PATH": path, "HOME": str(layout.node), "PYTHONPATH": str(REPOSITORY)}

    def component(self, name: str, after: str, options: dict[str, object]) -> Component:
        """One of the cache's programs."""
        return self._of(name, [str(self._layout.cache.bin / name), *_flags(options)], after)

    def provisioner(self) -> Component:
        """The provisioner of volumes, in this Python."""
        folders = [str(self._layout.pki), str(self._layout.volumes)]
        return self._of("provisioner", [sys.executable, "-m", "local.cluster.provisioner", *folders], _API)

    def _of(self, name: str, argv: list[str], after: str) -> Component:
        return Component(name, argv, str(self._layout.logs / f"{name}.log"), after, self._environment)


def _flags(options: dict[str, object]) -> Iterable[str]:
    """`--name=value`; a bool in Go's spelling."""
    return (f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in options.items())


def _etcd(layout: ClusterLayout) -> dict[str, object]:
    peer = "http://127.0.0.1:2380"
    return {
        "name": FIRST.name,
        "data-dir": layout.node / "etcd",
        "listen-client-urls": _ETCD,
        "advertise-client-urls": _ETCD,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{FIRST.name}={peer}",
        "unsafe-no-fsync": True,  # the cluster's state ends with the cluster
        "log-level": "warn",
    }


def _api_server(layout: ClusterLayout) -> dict[str, object]:
    pki = layout.pki
    return {
        "etcd-servers": _ETCD,
        "secure-port": API_PORT,
        "advertise-address": FIRST.ip,
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "client-ca-file": pki / "ca.crt",
        "kubelet-client-certificate": pki / "kubelet-client.crt",
        "kubelet-client-key": pki / "kubelet-client.key",
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-key-file": pki / "accounts.pub",
        "service-account-signing-key-file": pki / "accounts.key",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-cluster-ip-range": SERVICE_RANGE,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "requestheader-client-ca-file": pki / "ca.crt",
        "requestheader-allowed-names": "front-proxy",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": pki / "front-proxy.crt",
        "proxy-client-key-file": pki / "front-proxy.key",
        "enable-aggregator-routing": True,
        "profiling": False,
    }


def _controller_manager(layout: ClusterLayout) -> dict[str, object]:
    pki = layout.pki
    return {
        **_client_of(layout, "controller-manager"),
        "service-account-private-key-file": pki / "accounts.key",
        "root-ca-file": pki / "ca.crt",
        "cluster-signing-cert-file": pki / "ca.crt",
        "cluster-signing-key-file": pki / "ca.key",
        "use-service-account-credentials": True,
        "leader-elect": False,
        "allocate-node-cidrs": True,
        "cluster-cidr": POD_RANGE,
        "service-cluster-ip-range": SERVICE_RANGE,
        "bind-address": "127.0.0.1",
        # An HPA may scale down half a minute after the load has ended; Kubernetes' own default is five minutes.
        "horizontal-pod-autoscaler-downscale-stabilization": "30s",
    }


def _scheduler(layout: ClusterLayout) -> dict[str, object]:
    return {**_client_of(layout, "scheduler"), "leader-elect": False, "bind-address": "127.0.0.1"}


def _client_of(layout: ClusterLayout, name: str) -> dict[str, object]:
    config = layout.pki / f"{name}.kubeconfig"
    return dict.fromkeys(("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"), config)


def _kubelet(layout: ClusterLayout) -> dict[str, object]:
    return {
        "config": layout.config / "kubelet.yaml",
        "kubeconfig": layout.pki / f"{layout.address.name}.kubeconfig",
        "hostname-override": layout.address.name,
        "node-ip": layout.address.ip,
        "root-dir": layout.node / "kubelet",
        "cert-dir": layout.node / "kubelet" / "pki",
    }


def _proxy(layout: ClusterLayout) -> dict[str, object]:
    return {"config": layout.config / "kube-proxy.yaml", "hostname-override": layout.address.name}


def _router(layout: ClusterLayout) -> dict[str, object]:
    """The firewall alone: routes and Services are others' work here."""
    return {
        "run-firewall": True,
        "run-router": False,
        "run-service-proxy": False,
        "run-loadbalancer": False,
        "kubeconfig": layout.pki / "admin.kubeconfig",
        "hostname-override": layout.address.name,
        "service-cluster-ip-range": SERVICE_RANGE,
        "health-port": 20244,
    }


def _metrics_server(layout: ClusterLayout) -> dict[str, object]:
    return {
        **_client_of(layout, "admin"),
        "secure-port": 4443,
        "cert-dir": "/run/metrics-server",
        "kubelet-certificate-authority": layout.pki / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "metric-resolution": "10s",
        "kubelet-request-timeout": "5s",
    }
