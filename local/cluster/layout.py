"""Folders of the cluster: programs in a cache by version, everything else in the checkout's state."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from local.cluster.settings import ClusterSettings
from local.cluster.versions import KUBERNETES


@dataclass(frozen=True, slots=True)
class Cache:
    """Programs that are fetched or built once. `root` is named by Kubernetes' version."""

    root: Path

    @property
    def bin(self) -> Path:
        """Programs built from Go modules, and those unpacked from Debian's unstable suite."""
        return self.root / "bin"

    @property
    def cni(self) -> Path:
        """CNI plugins."""
        return self.root / "cni"

    @property
    def usr(self) -> Path:
        """Debian packages of the machine's own suite that it lacks, laid over /usr inside the node."""
        return self.root / "usr"

    @property
    def scratch(self) -> Path:
        """Downloads and Go's caches; deleted when all is built."""
        return self.root / "scratch"


@dataclass(frozen=True, slots=True)
class ClusterLayout:
    """The folders of one cluster."""

    cache: Cache
    root: Path

    @property
    def pki(self) -> Path:
        """Certificates, keys and kubeconfigs. Made with each cluster, never leave the machine."""
        return self.root / "pki"

    @property
    def node(self) -> Path:
        """Everything the node writes: etcd, containerd, kubelet, volumes."""
        return self.root / "node"

    @property
    def config(self) -> Path:
        """Configuration files of the components."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One log for each component."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Pid files of processes of the machine that belong to the cluster."""
        return self.root / "run"

    @property
    def volumes(self) -> Path:
        """Folders behind PersistentVolumes."""
        return self.node / "volumes"

    @property
    def report(self) -> Path:
        """Results of `test`."""
        return self.root / "report.json"

    @property
    def cgroup(self) -> str:
        """Name of the node's cgroup; two checkouts have two."""
        return f"tillstream-{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}"


def cluster_layout(settings: ClusterSettings) -> ClusterLayout:
    """The folders by the settings."""
    cache = Cache(settings.cache_home / "tillstream" / f"kubernetes-{KUBERNETES}")
    return ClusterLayout(cache, settings.state.absolute())
