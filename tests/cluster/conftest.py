"""The running cluster, its load and its report."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cluster.bare import BareCluster
from local.cluster.forward import Forward
from local.cluster.layout import ClusterLayout, cluster_layout
from local.cluster.settings import ClusterSettings
from local.cluster.shop import HA_NODES, Shop
from tests.cluster.report import Report
from tests.cluster.shop_under_load import ShopUnderLoad

# What disturbs least comes first; what takes the shop away, last.
ON_ONE = (
    "test_apply",
    "test_policies",
    "test_bad_states",
    "test_evictions",
    "test_rollouts",
    "test_kills",
    "test_node",
    "test_batch",
    "test_scaling",
    "test_exact",
    "test_delete",
)
# Several of each engine, on overlays/ha-demo.
ON_THREE = ("test_apply", "test_drain", "test_exact", "test_delete")
_REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rate`."""
    parser.addoption("--rate", type=float, default=100.0, help="recommendations a second (default: %(default)s)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One order, whatever the files are called; on three nodes what one cannot show."""
    modules = ON_THREE if len(cluster_layout(ClusterSettings()).started) >= HA_NODES else ON_ONE
    items[:] = [item for item in items if item.path.stem in modules]
    items.sort(key=lambda item: modules.index(item.path.stem))


def pytest_configure(config: pytest.Config) -> None:
    """An empty report."""
    config.stash[_REPORT] = Report()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables and write them down."""
    report = config.stash[_REPORT]
    if report.tables:
        file = cluster_layout(ClusterSettings()).report
        report.write(file)
        terminalreporter.write_line(f"\n{report}\n\nwritten to {file}")


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    return pytestconfig.stash[_REPORT]


@pytest.fixture(scope="session")
def layout() -> ClusterLayout:
    return cluster_layout(ClusterSettings())


@pytest.fixture(scope="session")
def shop(layout: ClusterLayout) -> Shop:
    """Tillstream, serving personal recommendations."""
    cluster = BareCluster(layout)
    assert cluster.is_running, "no cluster runs: make cluster-test starts one"
    return Shop(cluster)


@pytest.fixture(scope="session")
def page(shop: Shop, layout: ClusterLayout) -> str:
    """Where the machine reaches the gateway."""
    address = Forward(layout, shop.cluster.node).address
    assert address is not None
    return address


@pytest.fixture(scope="session")
def busy_shop(
    shop: Shop, page: str, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[ShopUnderLoad]:
    """The same, with customers who ask and purchases that arrive."""
    folder: Path = tmp_path_factory.mktemp("load")
    with ShopUnderLoad(shop, page, folder, pytestconfig.getoption("rate")).running() as running:
        yield running
