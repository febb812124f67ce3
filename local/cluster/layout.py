"""Folders of the cluster: programs in a cache by version, everything else in the checkout's state."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from local.cluster.addresses import FIRST, NodeAddress
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
    """The folders of one cluster, seen from one of its nodes."""

    cache: Cache
    root: Path
    address: NodeAddress = FIRST

    def of(self, address: NodeAddress) -> "ClusterLayout":
        """The same cluster, seen from that node."""
        return replace(self, address=address)

    @property
    def started(self) -> list[NodeAddress]:
        """The nodes that have folders, the first first."""
        others = (int(path.name.removeprefix("node-")) for path in self.root.glob("node-*"))
        return [FIRST, *map(NodeAddress, sorted(others))]

    def _own(self, name: str) -> str:
        return name if self.address == FIRST else f"{name}-{self.address.number}"

    @property
    def pki(self) -> Path:
        """Certificates, keys and kubeconfigs. Made with each cluster, never leave the machine."""
        return self.root / "pki"

    @property
    def node(self) -> Path:
        """Everything the node writes: etcd, containerd, kubelet, volumes."""
        return self.root / self._own("node")

    @property
    def config(self) -> Path:
        """Configuration files of the components."""
        return self.root / self._own("config")

    @property
    def logs(self) -> Path:
        """One log for each component."""
        return self.root / self._own("logs")

    @property
    def run(self) -> Path:
        """Pid files of processes of the machine that belong to the cluster."""
        return self.root / "run"

    @property
    def volumes(self) -> Path:
        """Folders behind PersistentVolumes, of every node."""
        return self.root / "node" / "volumes"

    @property
    def report(self) -> Path:
        """Results of `test`."""
        return self.root / "report.json"

    @property
    def cgroup(self) -> str:
        """Name of the node's cgroup; two checkouts have two."""
        return self._own(f"tillstream-{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}")


def cluster_layout(settings: ClusterSettings) -> ClusterLayout:
    """The folders by the settings."""
    cache = Cache(settings.cache_home / "tillstream" / f"kubernetes-{KUBERNETES}")
    return ClusterLayout(cache, settings.state.absolute())
