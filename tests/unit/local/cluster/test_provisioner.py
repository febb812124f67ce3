"""Which claims get a volume, which volumes are removed."""

from pathlib import Path
from typing import Any

import pytest

from local.cluster.provisioner import is_done, is_waiting, volume
from local.cluster.templates import PROVISIONER

Json = dict[str, Any]


def _claim(**annotations: str) -> Json:
    return {
        "metadata": {"name": "data-kafka-0", "namespace": "shop", "uid": "7", "annotations": annotations},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "standard",
        },
        "status": {"phase": "Pending"},
    }


def _waiting_claim() -> Json:
    kubernetes = "volume.kubernetes.io"
    return _claim(**{f"{kubernetes}/storage-provisioner": PROVISIONER, f"{kubernetes}/selected-node": "node1"})


def test_a_claim_with_a_node_waits() -> None:
    assert is_waiting(_waiting_claim())


@pytest.mark.parametrize("missing", ["storage-provisioner", "selected-node"])
def test_a_claim_of_another_or_without_a_node_does_not(missing: str) -> None:
    claim = _waiting_claim()
    del claim["metadata"]["annotations"][f"volume.kubernetes.io/{missing}"]
    assert not is_waiting(claim)


def test_a_bound_claim_does_not_wait() -> None:
    claim = _waiting_claim()
    claim["status"]["phase"] = "Bound"
    assert not is_waiting(claim)


def test_a_volume_is_the_claims_and_on_its_node() -> None:
    made = volume(_waiting_claim(), Path("/volumes"))
    assert made["metadata"]["name"] == "pvc-7"
    spec = made["spec"]
    assert spec["local"]["path"] == "/volumes/pvc-7"
    assert spec["capacity"] == {"storage": "1Gi"}
    assert (spec["claimRef"]["name"], spec["claimRef"]["uid"]) == ("data-kafka-0", "7")
    [term] = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node1"]}]


@pytest.mark.parametrize(
    ("phase", "done"), [("Released", True), ("Failed", True), ("Bound", False), ("Available", False)]
)
def test_a_released_volume_is_removed(phase: str, done: bool) -> None:
    made = volume(_waiting_claim(), Path("/volumes"))
    assert is_done({**made, "status": {"phase": phase}}) is done


def test_the_volume_of_another_provisioner_stays() -> None:
    made = volume(_waiting_claim(), Path("/volumes"))
    made["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": "another"}
    assert not is_done({**made, "status": {"phase": "Released"}})
