"""Names and addresses of the cluster: its nodes', its pods', its Services'."""

from dataclasses import dataclass

POD_RANGE = "10.244.0.0/16"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
API_PORT = 6443
DNS = "10.96.0.10"


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Of one node. `number` counts from 1: that one has the control plane."""

    number: int

    @property
    def name(self) -> str:
        """Its name in Kubernetes."""
        return f"node{self.number}"

    @property
    def ip(self) -> str:
        """Its own address."""
        return f"192.168.77.{self.number}"

    @property
    def pods(self) -> str:
        """The range of its pods' addresses."""
        return f"10.244.{self.number - 1}.0/24"


FIRST = NodeAddress(1)
