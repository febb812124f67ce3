"""The Spark session: local with bounded memory on one machine, configured by spark-submit on a cluster."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.sql import SparkSession

from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from spark.jars import connector_jars
from spark.settings import JobSettings

REPOSITORY = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
Conf = dict[str, str]


@contextmanager
def spark_session(settings: JobSettings) -> Iterator[SparkSession]:
    """Open a session, and stop it at the end. Raises JarsMissing if a local session has no S3A connector."""
    conf = session_conf(settings) | s3a_conf(settings)
    if settings.spark_master:
        conf |= local_conf(settings)
        make_folders(settings)
        _prepare_environment()
    spark = _session(conf)
    _give(spark, s3a_keys(settings))
    try:
        spark.sparkContext.setLogLevel("ERROR")
        yield spark
    finally:
        spark.stop()


def s3a_url(store: ObjectStore, key: str) -> str:
    """The address of an object or folder for Spark."""
    return f"s3a://{store.bucket}/{key}"


def session_conf(settings: JobSettings) -> Conf:
    """Settings that figures depend on, equal on every machine and version of Spark."""
    return {
        "spark.app.name": "tillstream",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.session.timeZone": settings.time_zone,
        "spark.sql.shuffle.partitions": str(settings.spark_shuffle_partitions),
        # A month such as 2020-04 stays a string.
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    }


def s3a_conf(settings: S3Settings) -> Conf:
    """The S3A connector's settings but its keys; without an endpoint those of AWS apply."""
    conf = {"spark.hadoop.fs.s3a.endpoint.region": settings.aws_region}
    if settings.s3_endpoint:
        conf |= {
            "spark.hadoop.fs.s3a.endpoint": settings.s3_endpoint,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": str(settings.s3_endpoint.startswith("https")).lower(),
        }
    return conf


def s3a_keys(settings: S3Settings) -> Conf:
    """The connector's keys as Hadoop names them; none where AWS's own credentials apply."""
    if not (settings.s3_access_key and settings.s3_secret_key):
        return {}
    return {
        "fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        "fs.s3a.access.key": settings.s3_access_key,
        "fs.s3a.secret.key": settings.s3_secret_key.get_secret_value(),
    }


def local_conf(settings: JobSettings) -> Conf:
    """One machine: loopback only, bounded memory, temporary files in one folder, no progress bars."""
    scratch = settings.spark_dir.resolve()
    java_options = (
        f"-Djava.io.tmpdir={scratch}",
        f"-Dlog4j2.configurationFile={(Path(__file__).parent / 'log4j2.properties').as_uri()}",
        "-XX:+UseParallelGC",
        settings.spark_java_options,
    )
    return {
        "spark.master": settings.spark_master,
        "spark.jars": ",".join(str(jar) for jar in connector_jars(settings.spark_jars)),
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.driver.extraJavaOptions": " ".join(java_options),
        "spark.ui.enabled": str(settings.spark_ui).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": (scratch / "warehouse").as_uri(),
        "spark.hadoop.hadoop.tmp.dir": str(scratch / "hadoop"),
        "spark.hadoop.fs.s3a.buffer.dir": str(_upload_buffers(scratch)),
    }


def make_folders(settings: JobSettings) -> None:
    """Make the folders that Hadoop would make itself with the program `chmod`, which the image does not have."""
    _upload_buffers(settings.spark_dir).mkdir(parents=True, exist_ok=True)


def _upload_buffers(scratch: Path) -> Path:
    return scratch / "hadoop" / "s3a"


def blas_in_use(spark: SparkSession) -> str:
    """The BLAS that MLlib uses: a native library, or Java."""
    jvm: Any = spark.sparkContext._jvm
    blas = jvm.dev.ludovic.netlib.blas
    try:
        return f"native BLAS ({_class_name(blas.NativeBLAS.getInstance())})"
    except Py4JError:  # netlib raises where it finds no library
        return f"Java BLAS ({_class_name(blas.JavaBLAS.getInstance())}; libopenblas would be faster)"


def _class_name(instance: Any) -> str:
    return str(instance.getClass().getSimpleName())


def _session(conf: Conf) -> SparkSession:
    builder = SparkSession.builder
    for key, value in conf.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _give(spark: SparkSession, keys: Conf) -> None:
    """Hadoop gets them once it runs: what is set before is an argument of the JVM, which every user can read."""
    hadoop: Any = spark.sparkContext._jsc.hadoopConfiguration()
    for name, value in keys.items():
        hadoop.set(name, value)


def _prepare_environment() -> None:
    """Environment variables that the JVM and its Python workers inherit."""
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *([inherited] if inherited else [])])
    os.environ["PYSPARK_PYTHON"] = sys.executable  # else the first python3 on PATH
    os.environ["SPARK_LOCAL_IP"] = LOOPBACK
    # ALS solves many small systems in parallel; threads within each would only compete for the cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
