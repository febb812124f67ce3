"""The commands of `python -m local.cluster`."""

import subprocess
import sys

from local.cluster import prerequisites
from local.cluster.bare import BareCluster
from local.cluster.fetch import fetch
from local.cluster.forward import Forward
from local.cluster.layout import ClusterLayout, cluster_layout
from local.cluster.settings import ClusterSettings
from local.cluster.shop import Shop
from local.console import say
from local.layout import REPOSITORY
from local.lockfile import exclusive

_BUSY = "another command starts or ends this cluster"
_KUBECTL = "python -m local.cluster kubectl"


def fetch_programs() -> None:
    """Fill the cache."""
    fetch(cluster_layout(ClusterSettings()).cache)


def up(bare: bool) -> None:
    """Start the cluster; unless `bare`, with Tillstream in it."""
    settings = ClusterSettings()
    layout = cluster_layout(settings)
    prerequisites.check_running()
    fetch(layout.cache)
    with exclusive(layout.root / "lock", _BUSY):
        cluster = BareCluster(layout)
        cluster.up(settings.nodes)
        say(f"the cluster is ready: {_KUBECTL} get pods --all-namespaces")
        if not bare:
            _open_shop(Shop(cluster), layout, settings.port)


def _open_shop(shop: Shop, layout: ClusterLayout, port: int) -> None:
    shop.import_images()
    say(f"applying {shop.overlay.relative_to(REPOSITORY)}")
    shop.apply()
    forward = Forward(layout, shop.cluster.node)
    page = forward.start(port, *shop.gateway_address())
    say(shop.wait_serving(page))
    say(f"the page: {page}")
    say(f"the cluster: {_KUBECTL} --namespace=tillstream get pods; make cluster-down ends it")


def down() -> None:
    """End the cluster, whatever state it is in."""
    layout = cluster_layout(ClusterSettings())
    prerequisites.check_running()
    with exclusive(layout.root / "lock", _BUSY):
        cluster = BareCluster(layout)
        Forward(layout, cluster.node).stop()
        say("the cluster has ended" if cluster.down() else "no cluster runs")


def status() -> bool:
    """Print node, pods and the page's address; True where the cluster runs."""
    layout = cluster_layout(ClusterSettings())
    cluster = BareCluster(layout)
    if not cluster.is_running:
        print("no cluster runs: make cluster")
        return False
    print(cluster.kubectl("get", "nodes"))
    print(cluster.kubectl("get", "pods", "--all-namespaces"))
    print(f"page: {Forward(layout, cluster.node).address or 'not forwarded'}")
    return True


def kubectl(arguments: list[str]) -> int:
    """Run kubectl with these arguments; its exit status."""
    cluster = BareCluster(cluster_layout(ClusterSettings()))
    return subprocess.run(cluster.kubectl.argv(*arguments), check=False).returncode


def test(arguments: list[str]) -> int:
    """Run tests/cluster, with these arguments for pytest, in the cluster that runs or a new one; its exit status."""
    up(bare=False)  # its tests see no settings of ours: which of them run, the number of nodes says
    argv = [sys.executable, "-m", "pytest", "tests/cluster", "--timeout=1800", *arguments]
    return subprocess.run(argv, cwd=REPOSITORY, check=False).returncode
