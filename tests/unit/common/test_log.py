"""A service's log is JSON with a key for each field, and bounded on disk."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.common.request_id import REQUEST_ID
from services.common.telemetry import configure_logging

WRITER = """
import logging, sys
from services.common.telemetry import BoundedLog
handler = BoundedLog(sys.stderr, kept_bytes=1000)
logging.basicConfig(handlers=[handler], level="INFO", format="%(message)s")
for number in range(100):
    logging.info("line %d %s", number, "x" * 40)
print("a line of another writer", file=sys.stderr)
"""


def written(log: Path, mode: str) -> None:
    with log.open(mode) as stderr:
        subprocess.run([sys.executable, "-c", WRITER], stderr=stderr, check=True)


def test_a_long_log_begins_anew_and_the_one_before_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    written(log, "ab")
    old = tmp_path / "service.log.old"
    assert sorted(tmp_path.iterdir()) == [log, old]
    assert log.stat().st_size <= 1100
    assert old.stat().st_size <= 1100
    lines = [line for line in (old.read_text() + log.read_text()).splitlines() if line.startswith("line")]
    assert [line.split()[1] for line in lines] == [str(number) for number in range(100 - len(lines), 100)]
    assert log.read_text().endswith("a line of another writer\n"), "appended after the cut, not at the old place"


def test_a_file_that_is_not_appended_to_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    written(log, "wb")
    assert len(log.read_text().splitlines()) == 101


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The entries logged so far by a service whose logging is configured."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    configure_logging("till")
    yield lambda: [json.loads(line) for line in stderr.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)


def test_fields_of_a_log_call_are_keys_of_its_entry(entries: Callable[[], list[dict[str, Any]]]) -> None:
    logging.getLogger("shop").warning(
        "partition %d: lost", 3, extra={"partition": 3, "topic": "purchases", "path": Path("/till"), "level": "mine"}
    )
    entry = entries()[-1]
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "WARNING",  # a field never replaces what every entry has
        "service": "till",
        "logger": "shop",
        "message": "partition 3: lost",
        "partition": 3,
        "topic": "purchases",
        "path": "/till",
    }


def test_an_entry_without_fields_has_the_keys_of_every_entry(entries: Callable[[], list[dict[str, Any]]]) -> None:
    logging.getLogger("shop").info("open", extra={"color_message": "\x1b[32mopen\x1b[0m"})
    assert set(entries()[-1]) == {"time", "level", "service", "logger", "message"}


def test_an_entry_of_a_request_has_its_id(entries: Callable[[], list[dict[str, Any]]]) -> None:
    token = REQUEST_ID.set("till-7")
    logging.getLogger("shop").info("open")
    REQUEST_ID.reset(token)
    assert entries()[-1]["request_id"] == "till-7"


def test_an_error_carries_its_trace(entries: Callable[[], list[dict[str, Any]]]) -> None:
    try:
        raise ValueError("no change")
    except ValueError:
        logging.getLogger("shop").exception("failed")
    assert entries()[-1]["exception"].endswith("ValueError: no change")


def test_at_debug_no_request_to_a_broker_is_written(
    entries: Callable[[], list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    """One of them has the password or the token."""
    caplog.set_level(logging.DEBUG, "aiokafka.conn")
    logger = logging.getLogger("aiokafka.conn")
    logger.debug("Request 1: SaslAuthenticateRequest(%r)", b"the password")
    logger.info("Authenticated")
    assert [entry["message"] for entry in entries() if entry["logger"] == "aiokafka.conn"] == ["Authenticated"]
