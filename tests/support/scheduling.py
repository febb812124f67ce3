"""Which worker of pytest-xdist runs which test.

`--dist=loadgroup` would do, but pytest-xdist 3.8 writes its groups into an attribute that pytest 9.2 no longer has:
every test then goes to any worker, and each worker builds the fixtures of every module again.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# The longest first: a worker that begins one of them at the end keeps the others waiting.
LONGEST = (
    "tests/integration/test_spark_job.py",
    "tests/integration/test_stack.py",
    "tests/faults/",
    "tests/e2e/",
    "tests/integration/",
)
# Their tests share nothing, so any worker may take any of them.
APART = ("tests/integration/test_stack.py",)
# Modules that share what takes long to start: one running shop, one JVM, the synthesized templates.
TOGETHER = {
    "aws": ("tests/aws/",),
    "shop": ("tests/e2e/",),
    "spark": (
        "tests/integration/test_spark_job.py",
        "tests/integration/test_spark_features.py",
        "tests/integration/test_reconciliation.py",
        "tests/integration/test_evaluate.py",
    ),
}


class UnitScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A unit's tests run on one worker, since they share fixtures. Units run in the order of the items."""

    def __init__(self, config: pytest.Config) -> None:
        config.option.loadscopereorder = False
        super().__init__(config)

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """The name of the unit that a test belongs to: mostly its module."""
    if nodeid.startswith(APART):
        return nodeid
    shared = (unit for unit, paths in TOGETHER.items() if nodeid.startswith(paths))
    return next(shared, nodeid.partition("::")[0])


def place_of(nodeid: str) -> int:
    """The place of a test in the order of a run; those of one place keep theirs."""
    return next((place for place, path in enumerate(LONGEST) if nodeid.startswith(path)), len(LONGEST))
