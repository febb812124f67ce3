"""What the batch job is to a platform: its files, its interpreter, its variables and its workers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_PYTHON = "./environment/bin/python3.11"
_CODE = "./tillstream"
_CORES_A_WORKER = 4
_MEMORY_A_WORKER = "14g"  # of the 32 GB that EMR gives four cores at most; the rest is Python's

SERVERLESS_DRIVER = "spark.emr-serverless.driverEnv"
KUBERNETES_DRIVER = "spark.kubernetes.driverEnv"
YARN_DRIVER = "spark.yarn.appMasterEnv"
"""How a setting of Spark that sets a variable of the driver begins, by platform."""


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """One job for all platforms.

    `files`: folder of the files of `packing.py`, `s3://BUCKET/artifacts/VERSION`. `arguments`: of `python -m spark`.
    `max_vcpu`: of driver and executors together. `environment`: further variables of the job.
    """

    files: str
    bucket: str
    region: str
    arguments: tuple[str, ...] = ("run",)
    max_vcpu: int = 16
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def entry_point(self) -> str:
        """The program that spark-submit runs."""
        return f"{self.files}/main.py"

    def conf(self, driver: str) -> dict[str, str]:
        """Settings of Spark. Archives with interpreter and code are unpacked by driver and executors.

        `driver`: how a setting begins that sets a variable of the driver.
        """
        archives = f"{self.files}/environment.tar.gz#environment,{self.files}/tillstream.tar.gz#tillstream"
        return {
            "spark.archives": archives,
            **{f"{driver}.{name}": value for name, value in self._variables().items()},
            "spark.executorEnv.PYSPARK_PYTHON": _PYTHON,
            "spark.executorEnv.PYTHONPATH": _CODE,
            "spark.driver.cores": str(_CORES_A_WORKER),
            "spark.driver.memory": _MEMORY_A_WORKER,
            "spark.executor.cores": str(_CORES_A_WORKER),
            "spark.executor.memory": _MEMORY_A_WORKER,
            "spark.dynamicAllocation.maxExecutors": str(max(1, self.max_vcpu // _CORES_A_WORKER - 1)),
        }

    def parameters(self, driver: str) -> str:
        """The same as parameters of spark-submit, in one string."""
        return " ".join(f"--conf {name}={value}" for name, value in self.conf(driver).items())

    def _variables(self) -> dict[str, str]:
        return {
            "PYSPARK_DRIVER_PYTHON": _PYTHON,
            "PYSPARK_PYTHON": _PYTHON,
            "PYTHONPATH": _CODE,
            "TILLSTREAM_AWS_REGION": self.region,
            "TILLSTREAM_S3_BUCKET": self.bucket,
            "TILLSTREAM_SPARK_MASTER": "",  # configured by the platform
            **self.environment,
        }
