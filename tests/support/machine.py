"""A machine's environment for one stack of its own. What runs there is found by the state folder in its environment."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from local.layout import REPOSITORY
from local.settings import free_port_settings

_BETWEEN_LOOKS_S = 0.2


def _environment(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:  # it has ended
        return []


class Machine:
    """A machine's environment for one stack: a state folder and free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_port_settings()
        self.environment = {
            **os.environ,
            **self.ports,
            "TILLSTREAM_STATE_DIR": str(folder),
            "TILLSTREAM_MONITORING": "false",  # most tests are about something else
            "TILLSTREAM_ARCHIVE_OBJECT_AGE_S": "1",
            "TILLSTREAM_ALS_RANK": "4",
            "TILLSTREAM_ALS_ITERATIONS": "2",
            "TILLSTREAM_GATE_QUESTIONS": "1000000",  # too little to evaluate
            "TILLSTREAM_SPARK_SHUFFLE_PARTITIONS": "1",
        }

    @property
    def page(self) -> str:
        return self.url("GATEWAY")

    def url(self, name: str) -> str:
        """The address of what listens on TILLSTREAM_<name>_PORT."""
        return f"http://127.0.0.1:{self.ports[f'TILLSTREAM_{name}_PORT']}"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "local", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, timeout_s: float = 540) -> tuple[int, str]:
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=timeout_s)
        return process.returncode, output

    def pids(self) -> dict[int, str]:
        """The command lines of all processes that belong to the stack."""
        mark = f"TILLSTREAM_STATE_DIR={self.folder}".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    @contextmanager
    def watched(self) -> Iterator[set[str]]:
        """The command lines of the stack's processes that were seen while the block ran."""
        seen: set[str] = set()
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_BETWEEN_LOOKS_S):
                seen.update(self.pids().values())

        looking = threading.Thread(target=look)
        looking.start()
        try:
            yield seen
        finally:
            ended.set()
            looking.join()

    def secrets(self) -> set[str]:
        """What opens the stack's engines: what they were given, and what they keep in their folders."""
        keys = json.loads((self.folder / "s3" / "identities.json").read_text())["identities"][0]["credentials"]
        given = {
            value
            for pid in self.pids()
            for name, _, value in (line.partition("=") for line in _environment(pid))
            if name.startswith("WEED_JWT_")
        }
        return {(self.folder / "redis" / "password").read_text(), keys[0]["secretKey"], *given}

    def readable_by_others(self) -> list[str]:
        """Files and folders of the state, with some right for others than their owner."""
        found = []
        for folder, folders, files in os.walk(self.folder):
            for name in (*folders, *files):
                with suppress(FileNotFoundError):  # engines make files and delete them
                    mode = Path(folder, name).lstat().st_mode
                    if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & 0o077:
                        found.append(f"{folder}/{name}")
        return found

    def kill_everything(self) -> None:
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
