"""Provisioner of volumes: `python -m local.cluster.provisioner PKI FOLDER`, a component of the node.

A claim of its StorageClass that the scheduler gave a node gets a folder as its volume. When the claim is deleted, so
are volume and folder.
"""

import http.client
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from local.cluster.api import Api, ApiError
from local.cluster.templates import PROVISIONER

Json = dict[str, Any]
_CLAIMS = "/api/v1/persistentvolumeclaims"
_VOLUMES = "/api/v1/persistentvolumes"
_NODE_CHOSEN = "volume.kubernetes.io/selected-node"
_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
_POLL_S = 0.5


def volume(claim: Json, folder: Path) -> Json:
    """The PersistentVolume of a claim."""
    meta, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{meta['uid']}"
    node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [meta["annotations"][_NODE_CHOSEN]]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                **{field: meta[field] for field in ("name", "namespace", "uid")},
            },
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
            "local": {"path": str(folder / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}},
        },
    }


def is_waiting(claim: Json) -> bool:
    """Whether the claim asks for one of our volumes and the scheduler has chosen its node."""
    annotations = claim["metadata"].get("annotations", {})
    ours = annotations.get(_PROVISIONER) == PROVISIONER and _NODE_CHOSEN in annotations
    return ours and claim["status"]["phase"] == "Pending" and not claim["spec"].get("volumeName")


def is_done(entry: Json) -> bool:
    """Whether the volume is ours and its claim is gone."""
    annotations = entry["metadata"].get("annotations", {})
    return annotations.get("pv.kubernetes.io/provisioned-by") == PROVISIONER and entry["status"].get("phase") in (
        "Released",
        "Failed",
    )


class Provisioner:
    """Makes and removes folders and their volumes."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api = api
        self._folder = folder

    def turn(self) -> None:
        """Serve every claim that waits, remove every volume that is released."""
        for claim in filter(is_waiting, self._api.call("GET", _CLAIMS)["items"]):
            self._make(volume(claim, self._folder))
        for entry in filter(is_done, self._api.call("GET", _VOLUMES)["items"]):
            self._api.call("DELETE", f"{_VOLUMES}/{entry['metadata']['name']}")
            shutil.rmtree(entry["spec"]["local"]["path"], ignore_errors=True)

    def _make(self, entry: Json) -> None:
        folder = Path(entry["spec"]["local"]["path"])
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # pods of any user write here, as in kind's and minikube's volumes
        try:
            self._api.call("POST", _VOLUMES, entry)
        except ApiError as error:
            if error.status != http.HTTPStatus.CONFLICT:  # made before, not bound yet
                raise
        else:
            print(f"made {folder}", flush=True)


def main() -> None:
    """Serve for ever. An API server that does not answer is asked again."""
    provisioner = Provisioner(Api(Path(sys.argv[1])), Path(sys.argv[2]))
    while True:
        try:
            provisioner.turn()
        except (ApiError, OSError, http.client.HTTPException) as error:
            print(error, flush=True)
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main()
