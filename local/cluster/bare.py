"""The cluster without Tillstream: nodes that are Ready, with DNS, metrics, volumes and enforced NetworkPolicies."""

import shutil
from functools import partial

from local.cluster.addresses import FIRST, NodeAddress
from local.cluster.certificates import make_certificates
from local.cluster.components import node_spec
from local.cluster.fetch.programs import image_archives
from local.cluster.images import import_archive
from local.cluster.kubectl import Kubectl, wait
from local.cluster.layout import ClusterLayout
from local.cluster.links import connect
from local.cluster.node import Node, NodeError
from local.cluster.templates import addons, write_config
from local.console import say

_START_S = 180


class BareCluster:
    """Starts and ends the nodes. The first, `node`, has the control plane."""

    def __init__(self, layout: ClusterLayout) -> None:
        self.layout = layout
        self.node = Node(layout)
        self.kubectl = Kubectl(self.node, layout)

    @property
    def is_running(self) -> bool:
        """Whether the first node's process 1 runs."""
        return self.node.init_pid is not None

    @property
    def nodes(self) -> list[Node]:
        """All nodes, whether they run or a crash has left their folders."""
        return [self.node, *(Node(self.layout.of(address)) for address in self.layout.started[1:])]

    def up(self, count: int | None = None) -> None:
        """Start a new cluster of so many nodes, else one, or see that the one that runs is ready. Raises NodeError."""
        if not self.is_running:
            self._start([NodeAddress(number) for number in range(1, (count or 1) + 1)])
        elif count not in (None, len(self.nodes)):
            raise NodeError(f"the cluster that runs has {len(self.nodes)} nodes, not {count}: make cluster-down first")
        wait("the API server answers", self._api_answers, _START_S)
        for node in self.nodes:
            for archive in image_archives(self.layout.cache):
                import_archive(node, archive)
        self.kubectl("apply", "-f", "-", text=addons(self.layout))
        for node in self.nodes:
            self._wait_for(f"node/{node.address.name}", "Ready")
        self._wait_for("deployment/coredns", "Available")
        self._wait_for("apiservice/v1beta1.metrics.k8s.io", "Available")

    def down(self) -> bool:
        """End the nodes, remove their cgroups and their data. False where nothing was left of any."""
        found = self.layout.node.exists() or self.is_running
        for node in self.nodes:
            node.stop()
        for address in self.layout.started:
            own = self.layout.of(address)
            for folder in (own.node, own.config):
                shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.layout.pki, ignore_errors=True)
        return found

    def _start(self, addresses: list[NodeAddress]) -> None:
        self.down()  # what a crash left
        programs = "etcd, control plane, containerd, kubelet, kube-proxy, kube-router, metrics-server"
        say(f"starting {', '.join(address.name for address in addresses)}: {programs}")
        make_certificates(self.layout.pki, addresses)
        for address in addresses:
            earlier = self.nodes if address != FIRST else []
            node = _start_node(self.layout.of(address))
            for other in earlier:
                connect(other, node)
            # Kubernetes gives out the ranges of pods in this order; routes and CNI plugins count on it.
            wait(f"{address.name} has the pods {address.pods}", partial(self._has_its_pods, address), _START_S)

    def _has_its_pods(self, address: NodeAddress) -> bool:
        found = self.kubectl.run("get", "node", address.name, "--output=jsonpath={.spec.podCIDR}")
        return found.stdout == address.pods

    def _wait_for(self, name: str, condition: str) -> None:
        def holds() -> bool:
            arguments = (f"--for=condition={condition}", "--namespace=kube-system", "--timeout=1s")
            return self.kubectl.run("wait", name, *arguments).returncode == 0

        wait(f"{name} is {condition}, see the logs in {self.layout.logs}", holds, _START_S)

    def _api_answers(self) -> bool:
        return self.kubectl.run("get", "--raw", "/readyz").returncode == 0


def _start_node(layout: ClusterLayout) -> Node:
    for folder in (layout.logs, layout.config, layout.node, layout.volumes):
        folder.mkdir(parents=True, exist_ok=True)
    for log in layout.logs.glob("*.log"):
        log.unlink()
    write_config(layout)
    node = Node(layout)
    node.start(node_spec(layout))
    return node
