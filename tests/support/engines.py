"""Engines of the tests, and the topics of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from local.engines import Engine

# A variable of Java's own. No engine of a test runs long enough for the optimising compiler to pay.
SHORT_LIVED_JAVA = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
# A batch job on a handful of rows ends before Java's optimising compiler has paid, and before many tasks have.
SMALL_JOBS = {"TILLSTREAM_SPARK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1", "TILLSTREAM_SPARK_SHUFFLE_PARTITIONS": "2"}


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
