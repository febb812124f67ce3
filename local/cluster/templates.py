"""Configuration files and objects of the cluster, from templates in `config/` and `addons/`."""

from collections.abc import Mapping
from pathlib import Path
from string import Template

from local.cluster.addresses import DNS, POD_RANGE
from local.cluster.layout import ClusterLayout

PAUSE_IMAGE = "localhost/pause:1"
COREDNS_IMAGE = "localhost/coredns:1"
PROVISIONER = "tillstream.local/folders"
_HERE = Path(__file__).parent
_CONFIG = _HERE / "config"
_ADDONS = _HERE / "addons"


def write_config(layout: ClusterLayout) -> None:
    """Write the configuration files of a node's components."""
    for source in filter(Path.is_file, _CONFIG.rglob("*")):
        target = layout.config / source.relative_to(_CONFIG)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled(source, _values(layout)))
    (layout.config / "resolv.conf").write_text(
        f"nameserver {DNS}\nsearch svc.cluster.local cluster.local\noptions ndots:2 timeout:1 attempts:3\n"
    )


def addons(layout: ClusterLayout) -> str:
    """The objects that make a bare cluster one as others are: DNS, metrics, a default StorageClass."""
    return "\n---\n".join(_filled(source, _values(layout)) for source in sorted(_ADDONS.glob("*.yaml")))


def _filled(source: Path, values: Mapping[str, str]) -> str:
    return Template(source.read_text()).substitute(values)


def _values(layout: ClusterLayout) -> dict[str, str]:
    return {
        "node": str(layout.node),
        "config": str(layout.config),
        "pki": str(layout.pki),
        "cni": str(layout.cache.cni),
        "cluster_range": POD_RANGE,
        "pod_range": layout.address.pods,
        "name": layout.address.name,
        "address": layout.address.ip,
        "dns": DNS,
        "pause": PAUSE_IMAGE,
        "coredns": COREDNS_IMAGE,
        "provisioner": PROVISIONER,
    }
