"""Every service says which version and commit it runs: in its log, to Prometheus, and on /readyz."""

import json
import logging
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.layout import REPOSITORY
from services.common.telemetry import Health, configure_logging
from services.common.version import Version, running_version
from tests.support.metrics import gauge

NUMBER = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def in_an_image(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As an image is started: its commit is a variable."""
    monkeypatch.setenv("TILLSTREAM_COMMIT", COMMIT)
    running_version.cache_clear()
    yield
    running_version.cache_clear()


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def test_an_image_says_its_commit(in_an_image: None) -> None:
    assert running_version() == Version(NUMBER, COMMIT[:12])
    assert str(running_version()) == f"{NUMBER} ({COMMIT[:12]})"


def test_no_label_of_an_image_stops_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSTREAM_COMMIT", "v1.2-dirty")
    running_version.cache_clear()
    assert running_version().commit == "v1.2-dirty"
    running_version.cache_clear()


def test_a_checkout_asks_git() -> None:
    running_version.cache_clear()
    command = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert head.startswith(running_version().commit or "unknown")


def test_readyz_says_both(in_an_image: None) -> None:
    described = Health("gateway").describe()
    assert (described["version"], described["commit"]) == (NUMBER, COMMIT[:12])


def test_the_log_begins_with_both(
    in_an_image: None, logging_restored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("gateway")
    first = json.loads(capsys.readouterr().err.splitlines()[0])
    assert first["message"] == f"Tillstream {NUMBER} ({COMMIT[:12]})"
    assert gauge("build_info", version=NUMBER, commit=COMMIT[:12]) == 1


def test_the_page_has_no_version_of_its_own() -> None:
    package = json.loads(Path(REPOSITORY / "web" / "package.json").read_text())
    assert "version" not in package
