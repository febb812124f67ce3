"""Engines of the tests, and the topics of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from local.engines import Engine

# A variable of Java's own. No engine of a test runs long enough for the optimising compiler to pay.
SHORT_LIVED_JAVA = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
_FOR_FEW_ROWS = (
    "-XX:TieredStopAtLevel=1",
    # Generating code for an expression costs more than interpreting it for a handful of rows.
    "-Dspark.sql.codegen.wholeStage=false",
    "-Dspark.sql.codegen.factoryMode=NO_CODEGEN",
    # So does planning every stage again once the one before it has ended.
    "-Dspark.sql.adaptive.enabled=false",
)
# A batch job on a handful of rows ends before many tasks and blocks have paid, too.
SMALL_JOBS = {
    "TILLSTREAM_SPARK_JAVA_OPTIONS": " ".join(_FOR_FEW_ROWS),
    "TILLSTREAM_SPARK_SHUFFLE_PARTITIONS": "2",
    "TILLSTREAM_ALS_BLOCKS": "2",
}


@dataclass(frozen=True, slots=True)
class TopicNames:
    """A purchases topic of a test's own, and its dead letters."""

    purchases: str
    dead_letters: str


TopicFactory = Callable[..., TopicNames]


@contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    """An engine that answers, stopped afterwards."""
    engine.start()
    try:
        engine.wait_ready()
        yield engine
    finally:
        engine.stop()
