"""A service's log on disk is bounded."""

import subprocess
import sys
from pathlib import Path

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
