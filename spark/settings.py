"""The batch job's settings. Every field is set by `TILLSTREAM_<FIELD>`, e.g. `TILLSTREAM_ALS_RANK=32`."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from recsys.als_settings import AlsSettings, EvaluationSettings
from recsys.variety_settings import VarietySettings
from services.common.settings import EventSettings, S3Settings, ServiceSettings, ShopSettings

STATE = Path(".tillstream")
Solver = Literal["driver", "blocks", "mllib"]


class JobSettings(ServiceSettings, S3Settings, ShopSettings, EventSettings, EvaluationSettings, VarietySettings):
    """The settings of one run."""

    archive_prefix: str = Field(default="raw/purchases/", pattern="^([^/]+/)+$")
    curated_kept: int = Field(default=2, ge=1, description="runs whose curated purchases are kept, the newest ones")
    models_kept: int = Field(
        default=10, ge=1, description="model versions kept, the newest ones, in addition to those in use"
    )

    als_solver: Solver | Literal["auto"] = Field(
        default="auto",
        description="driver: NumPy in one process; blocks: NumPy in Spark's Python tasks; mllib: Spark's MLlib; "
        "auto: driver for at most als_driver_pairs pairs of customer and product, blocks for more",
    )
    als_driver_pairs: int = Field(default=2_000_000, ge=0)
    driver_lines: int = Field(
        default=5_000_000,
        ge=0,
        description="for at most so many purchase lines the report, and with the solver driver the tables of a model, "
        "are made in the process of the driver; for more, by Spark",
    )
    als_rank: int = Field(default=64, ge=1, le=1024)
    als_regularisation: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    als_alpha: float = Field(default=40.0, gt=0, allow_inf_nan=False)
    als_iterations: int = Field(default=15, ge=1, le=1000)
    als_seed: int = 20200424
    als_blocks: int = Field(default=4, ge=1, description="blocks of customers, each solved by one task")

    spark_master: str = Field(default="local[*]", description="empty: configured by spark-submit")
    spark_driver_memory: str = Field(default="4g", pattern=r"^[1-9]\d*[mg]$")
    spark_java_options: str = Field(
        default="",
        description="added to the driver's Java options; -XX:TieredStopAtLevel=1 is faster for a few thousand lines",
    )
    spark_shuffle_partitions: int = Field(default=8, ge=1)
    spark_ui: bool = Field(default=False, description="Spark's web UI, on loopback")
    spark_dir: Path = Field(default=STATE / "spark", description="temporary files: spills, upload buffers")
    spark_jars: Path = Field(default=STATE / "jars" / "spark", description="the S3A connector's jars")

    def solver_for(self, pairs: int) -> Solver:
        """The solver that trains on so many pairs of customer and product."""
        if self.als_solver != "auto":
            return self.als_solver
        return "driver" if pairs <= self.als_driver_pairs else "blocks"

    def tables_on_driver(self, pairs: int, lines: int) -> bool:
        """Whether the driver makes all tables of a model of so many pairs and purchase lines."""
        return self.solver_for(pairs) == "driver" and lines <= self.driver_lines

    @property
    def als(self) -> AlsSettings:
        """The settings of ALS."""
        return AlsSettings(
            rank=self.als_rank,
            regularisation=self.als_regularisation,
            alpha=self.als_alpha,
            iterations=self.als_iterations,
            seed=self.als_seed,
            blocks=self.als_blocks,
        )
