"""compose.yaml: our images at this version, nothing privileged, only loopback ports, no secret in it."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from local.images.catalogue import ALL
from local.layout import REPOSITORY

TEXT = (REPOSITORY / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("tillstream/")}
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
STAYING = ("aggregator", "archiver", "recommender", "gateway")
EVERY_SERVICE = pytest.mark.parametrize("name", SERVICES)


def test_only_grafana_is_not_built_here() -> None:
    assert set(SERVICES) - set(OURS) == {"grafana"}


def test_every_image_is_used_at_the_version_of_the_project() -> None:
    assert {service["image"] for service in OURS.values()} | {f"tillstream/producer:{VERSION}"} == {
        f"{image.name}:{VERSION}" for image in ALL
    }


@EVERY_SERVICE
def test_a_container_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "userns_mode"} & set(service) == set()


@EVERY_SERVICE
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")] == []


@EVERY_SERVICE
def test_a_container_writes_to_volumes_and_reads_only_files_of_the_repository(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source, _target, *mode = mount.split(":")
        if source.startswith("./"):
            assert (REPOSITORY / source).exists()
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


def test_secrets_have_no_default() -> None:
    named = re.findall(r"\$\{(TILLSTREAM_\w*(?:KEY|TOKEN|SECRET|PASSWORD)\w*)([^}]*)\}", TEXT)
    assert named
    assert [name for name, rest in named if not rest.startswith(":?")] == []


@EVERY_SERVICE
def test_no_health_check_needs_a_shell(name: str) -> None:
    assert SERVICES[name].get("healthcheck", {"test": ["CMD"]})["test"][0] == "CMD"


@pytest.mark.parametrize("name", STAYING)
def test_a_service_is_checked_and_waits_for_topics_and_bucket(name: str) -> None:
    assert "healthcheck" in SERVICES[name]
    assert SERVICES[name]["depends_on"]["provision"] == {"condition": "service_completed_successfully"}


def test_what_one_needs_starts_with_it() -> None:
    for service in SERVICES.values():
        for needed in service.get("depends_on", []):
            assert set(SERVICES[needed].get("profiles", [])) <= set(service.get("profiles", []))


def test_prometheus_scrapes_every_service() -> None:
    config = yaml.safe_load((REPOSITORY / "monitoring" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    scraped = {target.split(":")[0] for group in job["static_configs"] for target in group["targets"]}
    assert scraped == {*STAYING, "demo-stream", "s3"}
    assert scraped <= set(SERVICES)


def test_kafka_has_the_settings_of_the_stack_on_one_machine() -> None:
    """Addresses and folders differ; what the broker does must not."""
    from local.engines.kafka import server_properties  # noqa: PLC0415

    def settings(text: str) -> dict[str, str]:
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        pairs = dict(line.split("=", 1) for line in lines)
        return {name: value for name, value in pairs.items() if "listener" not in name and name != "log.dirs"}

    ours = settings((REPOSITORY / "compose" / "kafka.properties").read_text())
    one_machine = settings(server_properties(REPOSITORY, 9092, 9093))
    quorum = "controller.quorum.voters"
    assert ours | {quorum: ""} == one_machine | {quorum: ""}
