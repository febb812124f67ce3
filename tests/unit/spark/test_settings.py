"""The batch job's settings: which solver trains."""

import pytest

from spark.settings import JobSettings, Solver


@pytest.mark.parametrize(
    ("asked", "pairs", "solver"),
    [("auto", 100, "driver"), ("auto", 101, "blocks"), ("mllib", 1, "mllib"), ("driver", 1_000, "driver")],
)
def test_few_pairs_are_trained_on_the_driver(asked: str, pairs: int, solver: Solver) -> None:
    settings = JobSettings.model_validate({"als_solver": asked, "als_driver_pairs": 100})
    assert settings.solver_for(pairs) == solver
