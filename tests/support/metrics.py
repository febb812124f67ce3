"""Metrics of this process. All tests of a worker share them, so a count is compared with what it was before."""

from collections.abc import Callable

from prometheus_client import REGISTRY

_COUNTS = ("_total", "_count", "_sum", "_bucket")


def gauge(name: str, **labels: str) -> float | None:
    """The value of a gauge by its name without `tillstream_`; None for labels that it does not have."""
    assert not name.endswith(_COUNTS), f"{name} counts for every test of this process: use `growth`"
    return REGISTRY.get_sample_value(f"tillstream_{name}", labels)


def growth(name: str, **labels: str) -> Callable[[], float]:
    """By how much a count grows from now on. A count of these labels that does not exist yet is 0."""

    def value() -> float:
        return REGISTRY.get_sample_value(f"tillstream_{name}", labels) or 0.0

    assert name.endswith(_COUNTS), f"{name} is no count: use `gauge`"
    before = value()
    return lambda: value() - before
