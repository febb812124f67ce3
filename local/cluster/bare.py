"""The cluster without Tillstream: a node that is Ready, with DNS, metrics, volumes and enforced NetworkPolicies."""

import shutil

from local.cluster.certificates import make_certificates
from local.cluster.components import node_spec
from local.cluster.fetch.programs import image_archives
from local.cluster.images import import_archive
from local.cluster.kubectl import Kubectl, wait
from local.cluster.layout import ClusterLayout
from local.cluster.node import Node
from local.cluster.templates import NODE, addons, write_config
from local.console import say

_START_S = 180


class BareCluster:
    """Starts and ends the node with its control plane."""

    def __init__(self, layout: ClusterLayout) -> None:
        self.layout = layout
        self.node = Node(layout)
        self.kubectl = Kubectl(self.node, layout)

    @property
    def is_running(self) -> bool:
        """Whether the node's process 1 runs."""
        return self.node.init_pid is not None

    def up(self) -> None:
        """Start a new cluster, or see that the one that runs is ready. Raises NodeError."""
        if not self.is_running:
            self._start()
        wait("the API server answers", self._api_answers, _START_S)
        for archive in image_archives(self.layout.cache):
            import_archive(self.node, archive)
        self.kubectl("apply", "-f", "-", text=addons(self.layout))
        self._wait_for(f"node/{NODE}", "Ready")
        self._wait_for("deployment/coredns", "Available")
        self._wait_for("apiservice/v1beta1.metrics.k8s.io", "Available")

    def down(self) -> bool:
        """End the node, remove its cgroups and its data. False where nothing was left of one."""
        found = self.layout.node.exists() or bool(self.node.init_pid)
        self.node.stop()
        for folder in (self.layout.node, self.layout.pki, self.layout.config):
            shutil.rmtree(folder, ignore_errors=True)
        return found

    def _start(self) -> None:
        self.down()  # what a crash left
        say("starting the node: etcd, control plane, containerd, kubelet, kube-proxy, kube-router, metrics-server")
        layout = self.layout
        for folder in (layout.logs, layout.config, layout.volumes):
            folder.mkdir(parents=True, exist_ok=True)
        for log in layout.logs.glob("*.log"):
            log.unlink()
        make_certificates(layout.pki)
        write_config(layout)
        self.node.start(node_spec(layout))

    def _wait_for(self, name: str, condition: str) -> None:
        def holds() -> bool:
            arguments = (f"--for=condition={condition}", "--namespace=kube-system", "--timeout=1s")
            return self.kubectl.run("wait", name, *arguments).returncode == 0

        wait(f"{name} is {condition}, see the logs in {self.layout.logs}", holds, _START_S)

    def _api_answers(self) -> bool:
        return self.kubectl.run("get", "--raw", "/readyz").returncode == 0
