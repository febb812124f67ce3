"""The whole stack on free ports: real engines, every service, one made-up shop loaded and one model trained."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright

from local.http import get_json
from local.layout import Layout
from local.process import Process, spawn
from local.producer_run import ProducerRun
from local.settings import StackSettings, free_port_settings
from local.stack import Stack
from local.steps import run_beside, send, train, wait_gateway, wait_settled
from services.common.object_store import ObjectStore
from tests.e2e.browser import DESK, SOON_MS, OpenPage, launch
from tests.support.shop import SEED_COLUMNS, TILL_COLUMNS, Row, bare_message, seed_rows, till_rows, write_csv

HISTORY_SEED = 424
HISTORY_ROWS = 3_000
PREFERENCES = {
    "TILLSTREAM_ARCHIVE_OBJECT_AGE_S": "1",
    "TILLSTREAM_ALS_RANK": "8",
    "TILLSTREAM_ALS_ITERATIONS": "5",
    "TILLSTREAM_GATE_QUESTIONS": "1000000",  # too little to evaluate: that takes time and is tested elsewhere
}


class LiveShop:
    """A running stack and the files that describe all it was fed, in the order of feeding."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        ports = {name.removeprefix("TILLSTREAM_").lower(): port for name, port in free_port_settings().items()}
        settings = StackSettings.model_validate(ports)
        self.stack = Stack(Layout(folder / "stack"), settings, die_with_parent=True, preferences=PREFERENCES)

    @property
    def url(self) -> str:
        """The address of page and REST API."""
        return self.stack.settings.page

    @property
    def settings(self) -> StackSettings:
        """Where everything is."""
        return self.stack.settings

    @property
    def history(self) -> list[Path]:
        """The files that the model was trained on, and the batch report tells of."""
        return self.files[:2]

    def replay(self, rows: Iterable[Row], columns: Sequence[str] = SEED_COLUMNS, rate: str = "max") -> Path:
        """Send rows by the producer; returns their file once all is applied and archived."""
        run = self.prepare(rows, columns, rate)
        send(self.stack, run)
        wait_settled(self.stack)
        return run.file

    def prepare(self, rows: Iterable[Row], columns: Sequence[str] = SEED_COLUMNS, rate: str = "max") -> ProducerRun:
        """A file of the shop with a name of its own, and the producer's orders to send it."""
        return ProducerRun(self._new_file(rows, columns), rate)

    def resume(self, run: ProducerRun, *, from_start: bool = False) -> None:
        """Send the rest of a file at full speed, or all of it again; returns once all is applied and archived."""
        options = ["--restart"] if from_start else []
        program = replace(run, rate="max").program(self.settings, self.stack.layout, self.stack.environment, None)
        run_beside(self.stack, replace(program, argv=[*program.argv, *options]))
        wait_settled(self.stack)

    def start_producer(self, run: ProducerRun) -> Process:
        """A producer that runs while the test goes on."""
        log = self.stack.layout.log("producer")
        return spawn(run.program(self.settings, self.stack.layout, self.stack.environment, log), die_with_parent=True)

    def send_bare(self, rows: list[Row], absent: str | None) -> Path:
        """Send eight-field messages without key and event_id, as producers in the wild do; see `bare_message`."""
        file = self._new_file(rows, SEED_COLUMNS)
        asyncio.run(self._send_values([bare_message(row, absent) for row in rows]))
        wait_settled(self.stack)
        return file

    def send_no_purchases(self, values: Sequence[bytes | None]) -> None:
        """Send record values that are no purchases; in a file of the shop they stand as as many broken rows."""
        self._new_file([["no purchase"]] * len(values), SEED_COLUMNS)
        asyncio.run(self._send_values(values))
        wait_settled(self.stack)

    def describe(self, rows: Iterable[Row]) -> None:
        """Note purchases that were made some other way, as the rows that they amount to."""
        self._new_file(rows, SEED_COLUMNS)

    def _new_file(self, rows: Iterable[Row], columns: Sequence[str]) -> Path:
        file = write_csv(self.folder / f"part-{len(self.files)}.csv", rows, columns)
        self.files.append(file)
        return file

    async def _send_values(self, values: Sequence[bytes | None]) -> None:
        """Send record values as they are, without a key where that is possible: to any partition."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap, acks="all")
        await producer.start()
        try:
            topic = self.settings.purchases_topic
            sent = [await producer.send(topic, value, key=b"" if value is None else None) for value in values]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    def kill(self, name: str) -> None:
        """End a service as a crash does."""
        process = self.stack.process(name)
        assert process is not None
        process.kill()

    def restart(self, name: str) -> None:
        """Start a service that has ended, and wait until it is ready."""
        self.stack.stop([name])
        self.stack.start()

    def get(self, path: str) -> Any:
        """The JSON that the gateway answers."""
        return get_json(f"{self.url}{path}")

    def store(self) -> ObjectStore:
        """The bucket; the caller closes it."""
        return ObjectStore(self.stack.s3)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    """A running shop with history and a model. Tests add to it, so a test compares with all of `files`."""
    shop = LiveShop(tmp_path_factory.mktemp("shop"))
    try:
        shop.stack.start()
        shop.replay(seed_rows(HISTORY_SEED, HISTORY_ROWS))
        shop.replay(till_rows(HISTORY_SEED + 1, HISTORY_ROWS // 3), TILL_COLUMNS)
        train(shop.stack)
        wait_gateway(shop.stack)
        yield shop
    finally:
        shop.stack.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the browser's console complained of; a test takes out what it expects."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def open_page(browser: Browser, stack: LiveShop, complaints: list[str]) -> Iterator[OpenPage]:
    """Opens the page, live, in a context of its own. An error in its console fails the test."""
    contexts = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def note_error(error: Error) -> None:
        complaints.append(str(error))

    def open_(path: str = "/", **context: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": DESK, "locale": "en-US", **context}))
        page = contexts[-1].new_page()
        page.on("console", note)
        page.on("pageerror", note_error)
        page.goto(f"{stack.url}{path}")
        expect(page.get_by_test_id("connection")).to_have_text("Live", timeout=SOON_MS)
        return page

    yield open_
    for context in contexts:
        context.close()
