"""A program with wrong settings, or with an error that is expected, ends with one line and its exit status."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from aiokafka.errors import KafkaError

from services.common.entrypoint import refuse, run_command, run_service
from services.common.settings import Port, ServiceSettings
from services.common.telemetry import PortInUse


class ShopkeeperSettings(ServiceSettings):
    """Settings of a service of this test."""

    metrics_port: Port = 9101


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def failing_with(error: Exception) -> int:
    def run(_settings: ShopkeeperSettings) -> int:
        raise error

    return run_command("shopkeeper", ShopkeeperSettings, run, {ConnectionError: 1, OSError: 2, KafkaError: 3})


def test_the_program_runs_with_its_settings_and_gives_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSTREAM_METRICS_PORT", "7")
    assert run_command("shopkeeper", ShopkeeperSettings, lambda settings: settings.metrics_port) == 7


def test_wrong_settings_are_named_and_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLSTREAM_METRICS_PORT", "0")
    runs: list[ShopkeeperSettings] = []

    def run(settings: ShopkeeperSettings) -> int:
        runs.append(settings)
        return 0

    assert run_command("shopkeeper", ShopkeeperSettings, run) == 2
    assert not runs
    assert capsys.readouterr().err == (
        "shopkeeper: TILLSTREAM_METRICS_PORT: Input should be greater than or equal to 1\n"
    )


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ConnectionResetError("cut off"), 1, "shopkeeper: cut off\n"),
        (FileNotFoundError("no till"), 2, "shopkeeper: no till\n"),
        (KafkaError("no broker"), 3, "shopkeeper: KafkaError: no broker\n"),
        (ConnectionAbortedError(), 1, "shopkeeper: ConnectionAbortedError()\n"),
    ],
)
def test_an_expected_error_is_one_line_and_its_status(
    error: Exception, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(error) == status
    assert capsys.readouterr().err == line


def test_an_unexpected_error_keeps_its_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        failing_with(ZeroDivisionError())


@pytest.mark.usefixtures("_logging_restored")
def test_a_service_logs_from_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run(_settings: ShopkeeperSettings) -> int:
        logging.getLogger("till").warning("open")
        return 0

    assert run_service("shopkeeper", ShopkeeperSettings, run) == 0
    entry = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (entry["service"], entry["message"]) == ("shopkeeper", "open")


@pytest.mark.usefixtures("_logging_restored")
def test_a_port_in_use_is_a_mistake_in_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    def run(settings: ShopkeeperSettings) -> int:
        raise PortInUse(settings.host, settings.metrics_port, "TILLSTREAM_METRICS_PORT")

    assert run_service("shopkeeper", ShopkeeperSettings, run) == 2
    assert "port 9101 on 127.0.0.1 is in use" in capsys.readouterr().err


def test_a_refusal_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("output\n")
    assert refuse("shopkeeper", 4, "closed") == 4
    assert capsys.readouterr() == ("output\n", "shopkeeper: closed\n")
