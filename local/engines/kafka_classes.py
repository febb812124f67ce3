"""`python -m local.engines.kafka_classes`: record the classes that a broker loads, so that the next starts faster.

Java maps the archive into memory instead of reading, parsing and verifying thousands of classes again (application
class data sharing). A broker starts without it too.
"""

import asyncio
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from aiokafka import AIOKafkaProducer

from local.engines.kafka import ARCHIVE, KafkaEngine
from local.ports import free_port
from local.process import Program
from services.common.kafka import client_options, make_consumer
from services.common.settings import KafkaSettings
from services.common.topics import PURCHASES
from services.provision.topics import create

_WRITING_S = 300


class _RecordedKafka(KafkaEngine):
    """A broker that writes an archive of its classes when it ends."""

    def __init__(self, folder: Path, archive: Path) -> None:
        super().__init__(folder, folder / "kafka.log", free_port(), classes=folder / "none")
        self._archive = archive

    def _program(self) -> Program:
        program = super()._program()
        java, *rest = program.argv
        options = ("-XX:TieredStopAtLevel=1", f"-XX:ArchiveClassesAtExit={self._archive}")  # it runs for seconds
        return replace(program, argv=[java, *options, *rest])


def record(archive: Path = ARCHIVE) -> bool:
    """Run a broker and write its archive. False if this Java writes none."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        made = Path(folder) / archive.name
        with _running(_RecordedKafka(Path(folder) / "broker", made)) as bootstrap:
            asyncio.run(_use(bootstrap))
        if not made.exists():
            return False
        made.rename(archive)  # whole or not at all: a broker may start meanwhile
    return True


@contextmanager
def _running(engine: KafkaEngine) -> Iterator[str]:
    process = engine.start()
    try:
        engine.wait_ready()
        yield engine.address
        process.terminate()
        process.wait(_WRITING_S)
    finally:
        engine.stop()


async def _use(bootstrap: str) -> None:
    """What the services ask of a broker: a topic, a transaction, a group."""
    settings = KafkaSettings(kafka_bootstrap=bootstrap)
    await create(settings, [PURCHASES])
    producer = AIOKafkaProducer(transactional_id="classes", **client_options(settings))
    async with producer, producer.transaction():
        await producer.send_and_wait(PURCHASES.name, b"{}")
    reader = make_consumer(settings, PURCHASES.name, group_id="classes", auto_offset_reset="earliest")
    async with reader:
        await reader.getone()
        await reader.commit()


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it warns until the group's coordinator is there
    print("kafka: class archive " + (f"written to {ARCHIVE}" if record() else "not supported by this Java"))
