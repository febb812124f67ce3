"""Every name exists; settings are ones that the programs read; docs list what somebody has to create."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.k8s import references
from tests.k8s.conftest import AWS
from tests.k8s.manifests import ROOT, Object, environment, flat, of_kind, workloads
from tests.k8s.programs import settings_of, variables_of

Change = Callable[[Any], object]
README = (ROOT / "k8s/README.md").read_text()


@pytest.mark.parametrize("check", references.CHECKS, ids=lambda check: check.__name__)
def test_every_name_exists(objects: list[Object], check: Callable[[list[Object]], list[str]]) -> None:
    assert list(check(objects)) == []


@pytest.mark.parametrize("name", ["local", "ha"])
def test_addresses_lead_to_services(overlay: Callable[[str], list[Object]], name: str) -> None:
    assert list(references.addresses(overlay(name))) == []


def test_secrets_are_documented(objects: list[Object]) -> None:
    used = references.secrets_used(objects)
    assert "gateway-admin" in used
    commands = [line for line in README.splitlines() if "create secret" in line]
    for name, keys in used.items():
        (command,) = (line for line in commands if f" {name} " in line)
        assert all(f"--from-literal={key}=" in command for key in keys)


def test_no_secret_is_made(objects: list[Object]) -> None:
    assert list(of_kind(objects, "Secret")) == []


def test_without_secrets_the_local_overlay_starts(overlay: Callable[[str], list[Object]]) -> None:
    assert _required(overlay("local")) == set()


def test_without_secrets_the_store_knows_the_keys_of_its_clients(overlay: Callable[[str], list[Object]]) -> None:
    """Any keys would do for most requests, but not for Spark's: they are signed piece by piece."""
    objects = overlay("local")
    variables = {each.app: environment(objects, each.containers[0]) for each in workloads(objects)}
    keys = [variables["s3"].get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    assert None not in keys
    for client in ("archiver", "batch", "recommender"):
        assert [variables[client][f"TILLSTREAM_S3_{name}_KEY"] for name in ("ACCESS", "SECRET")] == keys


def test_on_aws_the_address_of_redis_is_required(overlay: Callable[[str], list[Object]]) -> None:
    assert _required(overlay("aws")) == {("aggregator", "redis-url"), ("gateway", "redis-url")}


def _required(objects: list[Object]) -> set[tuple[str, str]]:
    return {
        (workload.app, variable["valueFrom"]["secretKeyRef"]["name"])
        for workload in workloads(objects)
        for container in workload.all_containers
        for variable in container.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {}) and not variable["valueFrom"]["secretKeyRef"].get("optional")
    }


def test_on_aws_every_parameter_is_where_it_belongs(overlay: Callable[[str], list[Object]]) -> None:
    objects = overlay("aws")
    for workload in workloads(objects):
        variables = environment(objects, workload.containers[0])
        assert variables["TILLSTREAM_KAFKA_BOOTSTRAP"] == AWS["KAFKA_BOOTSTRAP"]
        assert variables["TILLSTREAM_AWS_REGION"] == AWS["REGION"]
        assert variables["TILLSTREAM_S3_BUCKET"] == AWS["BUCKET"]
        assert "TILLSTREAM_S3_ENDPOINT" not in variables
        assert "TILLSTREAM_S3_ACCESS_KEY" not in variables
    assert "parameters.env" not in str(objects)


def test_settings_are_known_and_valid(objects: list[Object], monkeypatch: pytest.MonkeyPatch) -> None:
    for workload in workloads(objects):
        for container in workload.all_containers:
            if program := settings_of(container):
                for name, value in environment(objects, container).items():
                    monkeypatch.setenv(name, value)
                program()


def test_every_setting_is_read_by_a_program(objects: list[Object]) -> None:
    """A name with a typo would be ignored silently."""
    read: dict[str, set[str]] = {}
    for workload in workloads(objects):
        for container in workload.all_containers:
            for source in container.get("envFrom", []):
                read.setdefault(source["configMapRef"]["name"], set()).update(variables_of(container))
    for each in of_kind(objects, "ConfigMap"):
        wanted = {name for name in each.get("data", {}) if name.startswith("TILLSTREAM_")}
        assert wanted - read.get(each["metadata"]["name"], set()) == set(), each["metadata"]["name"]


BROKEN: list[tuple[str, str, Change, str]] = [
    ("Deployment", "gateway", lambda it: it["metadata"].update(namespace="default"), "namespace default"),
    ("Namespace", "tillstream", lambda it: it["metadata"].update(labels={}), "does not enforce"),
    ("Deployment", "gateway", lambda it: it["spec"]["selector"]["matchLabels"].popitem(), "it selects the pods of"),
    (
        "Deployment",
        "gateway",
        lambda it: it["spec"]["selector"]["matchLabels"].update(tier="web"),
        "it selects the pods",
    ),
    ("Service", "gateway", lambda it: it["spec"]["selector"].update(tier="web"), "it selects nothing"),
    ("Service", "gateway", lambda it: it["spec"]["ports"][0].update(targetPort="web"), "has no port web"),
    ("Service", "gateway", lambda it: it["spec"]["ports"][0].update(port=80), "has no port http"),
    ("StatefulSet", "kafka", lambda it: it["spec"].update(serviceName="brokers"), "its Service does not exist"),
    ("ServiceAccount", "gateway", lambda it: it["metadata"].update(name="web"), "no ServiceAccount"),
    ("HorizontalPodAutoscaler", "gateway", lambda it: it["spec"]["scaleTargetRef"].update(name="web"), "its target"),
]


@pytest.mark.parametrize(("kind", "name", "change", "complaint"), BROKEN)
def test_what_does_not_exist_is_found(
    overlay: Callable[[str], list[Object]], kind: str, name: str, change: Change, complaint: str
) -> None:
    from tests.k8s import pods  # noqa: PLC0415

    objects = deepcopy(overlay("local"))
    (broken,) = (each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)
    change(broken)
    complaints = flat(check(objects) for check in (*references.CHECKS, pods.identity))
    assert any(complaint in each for each in complaints), complaints


@pytest.mark.parametrize("prefix", ["gateway-settings", "common-settings", "kafka-settings"])
def test_a_missing_configmap_is_found(overlay: Callable[[str], list[Object]], prefix: str) -> None:
    objects = [each for each in overlay("local") if not each["metadata"]["name"].startswith(prefix)]
    assert any(f"ConfigMap {prefix}" in each for each in references.references(objects))


def test_a_missing_volume_is_found(overlay: Callable[[str], list[Object]]) -> None:
    objects = deepcopy(overlay("local"))
    (kafka,) = (each for each in of_kind(objects, "StatefulSet") if each["metadata"]["name"] == "kafka")
    kafka["spec"]["volumeClaimTemplates"] = []
    assert any("volume data does not exist" in each for each in references.references(objects))


def test_a_wrong_address_is_found(overlay: Callable[[str], list[Object]]) -> None:
    objects = [
        each for each in overlay("local") if each["metadata"]["name"] != "recommender" or each["kind"] != "Service"
    ]
    assert any("recommender:50051" in each for each in references.addresses(objects))
