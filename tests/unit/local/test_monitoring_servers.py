"""Prometheus and Alertmanager of the one-machine stack, without starting them."""

from pathlib import Path

import pytest
import yaml

from local.layout import RULES, Layout
from local.monitoring import programs
from local.monitoring.servers import Monitoring, prometheus_config
from local.ports import free_port
from local.prerequisites import MissingPrerequisite
from local.process import Process
from local.settings import StackSettings


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH where both are found; neither of them would run."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("prometheus", "prometheus-alertmanager"):
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(programs, "UNPACKED", tmp_path / "nothing")
    return folder


def monitoring(tmp_path: Path, **given: object) -> Monitoring:
    ports = {"prometheus_port": free_port(), "alertmanager_port": free_port()}
    settings = StackSettings.model_validate({**ports, **given})
    return Monitoring(Layout(tmp_path), settings, die_with_parent=True)


def test_targets_are_the_ports_of_the_stack_and_rules_those_of_the_checkout() -> None:
    config = prometheus_config(StackSettings(gateway_port=20_001, producer_metrics_port=20_002, scrape_seconds=3))
    loaded = yaml.safe_load(yaml.safe_dump(config))
    (job,) = loaded["scrape_configs"]
    targets = {each["labels"]["service"]: each["targets"] for each in job["static_configs"]}
    assert targets["gateway"] == ["127.0.0.1:20001"]
    assert targets["producer"] == ["127.0.0.1:20002"]
    assert {*targets} == {"gateway", "archiver", "aggregator", "recommender", "producer", "s3"}
    assert loaded["global"]["scrape_interval"] == "3s"
    assert loaded["rule_files"] == [f"{RULES}/*.yml"]
    assert "127.0.0.1:9093" in str(loaded["alerting"])


def test_a_store_of_the_users_own_is_not_scraped() -> None:
    config = prometheus_config(StackSettings(s3_endpoint="http://store:8333"))
    assert "9327" not in str(config)


def test_the_gateway_is_given_the_address_and_the_page_its_links(tmp_path: Path, found: Path) -> None:
    chosen = monitoring(tmp_path)
    assert chosen.environment == {}
    chosen.choose({})
    alertmanager, prometheus = (server.address for server in chosen.servers)
    assert chosen.environment == {
        "TILLSTREAM_ALERTMANAGER_LINK": alertmanager,
        "TILLSTREAM_PROMETHEUS_LINK": prometheus,
        "TILLSTREAM_PROMETHEUS_URL": prometheus,
    }


def test_what_is_missing_is_said_in_a_line_and_the_stack_goes_on(
    tmp_path: Path, found: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found / "prometheus").unlink()
    chosen = monitoring(tmp_path)
    chosen.choose({})
    (line,) = capsys.readouterr().err.splitlines()
    assert "prometheus   not found, so not started: apt-get install prometheus, or get it from https://" in line
    assert {*chosen.environment} == {"TILLSTREAM_ALERTMANAGER_LINK"}


def test_a_port_in_use_is_said_in_a_line_unless_the_stack_uses_it(
    tmp_path: Path, found: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.monitoring.servers.is_free", lambda _port: False)
    chosen = monitoring(tmp_path)
    chosen.choose(["prometheus"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "alertmanager not started: port " in line
    assert line.endswith("is in use; TILLSTREAM_ALERTMANAGER_PORT changes it")
    assert "TILLSTREAM_PROMETHEUS_URL" in chosen.environment


@pytest.mark.parametrize("given", [{"monitoring": False}, {"prometheus_url": "http://127.0.0.1:1"}])
def test_neither_is_started_where_nobody_wants_them(
    tmp_path: Path, found: Path, capsys: pytest.CaptureFixture[str], given: dict[str, object]
) -> None:
    chosen = monitoring(tmp_path, **given)
    chosen.choose({})
    assert (chosen.environment, capsys.readouterr().err) == ({}, "")


def test_one_that_dies_at_its_start_costs_a_line(
    tmp_path: Path, found: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = monitoring(tmp_path)
    chosen.choose({})
    kept: list[str] = []

    def keep(process: Process, _address: str) -> Process:
        kept.append(process.name)
        return process

    chosen.start({}, keep)
    assert kept == ["alertmanager", "prometheus"]
    assert capsys.readouterr().err.count("does not run: ") == 2


def test_a_missing_program_is_named_with_how_to_get_it(
    tmp_path: Path, found: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingPrerequisite, match=r"no promtool: run `make prometheus`, or apt-get install prometheus"):
        programs.program("promtool")
    assert programs.program("alertmanager") == found / "prometheus-alertmanager"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPrerequisite, match=r"no prometheus, and no apt-get"):
        programs.install()
