"""docs/metrics.md is what the code declares."""

from prometheus_client import REGISTRY

from services.common import metrics_docs


def test_the_page_is_up_to_date() -> None:
    assert metrics_docs.main(["--check"]) == 0, "run `make metrics`"


def test_the_page_lists_every_metric_that_is_registered() -> None:
    registered = {family.name for family in REGISTRY.collect() if family.name.startswith("tillstream_")}
    assert registered == {metric.name.removesuffix("_total") for metric in metrics_docs.documented()}


def test_every_metric_says_what_it_means() -> None:
    assert [metric.name for metric in metrics_docs.documented() if not metric.meaning.endswith(".")] == []
