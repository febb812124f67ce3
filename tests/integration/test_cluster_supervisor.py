"""The supervisor of the test cluster's node, in a process of its own: it reaps every child of its process."""

import subprocess
import sys
from pathlib import Path

from local.layout import REPOSITORY

_DRIVER = """
import sys, time
from pathlib import Path
from local.cluster.init import Component, Supervisor

marks, log = map(Path, sys.argv[1:])
code = f"open({str(marks)!r}, 'a').write('x')"
supervisor = Supervisor([Component("short", [sys.executable, "-S", "-c", code], str(log))])
deadline = time.monotonic() + 60
while time.monotonic() < deadline and (not marks.exists() or len(marks.read_text()) < 2):
    supervisor.turn()
    time.sleep(0.02)
"""


def test_a_component_that_ends_is_started_again(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    argv = [sys.executable, "-c", _DRIVER, str(marks), str(tmp_path / "log")]
    driver = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=180)
    assert marks.read_text() == "xx"
    assert driver.stdout.splitlines()[:3] == ["starting short", "short has ended", "starting short"]
