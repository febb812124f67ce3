"""The built manifests: what `kubectl apply -k` would send."""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBECTL = Path(sys.executable).with_name("kubectl")

Object = dict[str, Any]
Objects = Sequence[Object]


class BuildFailed(Exception):
    """Kustomize refused; the message is its own."""


def build(folder: Path) -> list[Object]:
    """The objects of a kustomization. Raises BuildFailed."""
    answer = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise BuildFailed(answer.stderr)
    return list(yaml.load_all(answer.stdout, Loader=yaml.CSafeLoader))


def of_kind(objects: Objects, *kinds: str) -> Iterator[Object]:
    """Those of some kinds."""
    return (each for each in objects if each["kind"] in kinds)


def names(objects: Objects, kind: str) -> set[str]:
    """The names of one kind."""
    return {each["metadata"]["name"] for each in of_kind(objects, kind)}


def title(each: Object) -> str:
    """How a complaint calls an object."""
    return f"{each['kind']}/{each['metadata']['name']}"


@dataclass(frozen=True, slots=True)
class Workload:
    """What makes pods. `app` is the label by which all the project's selectors find them."""

    manifest: Object
    template: Object

    @property
    def title(self) -> str:
        """Kind and name."""
        return title(self.manifest)

    @property
    def kind(self) -> str:
        """Deployment, StatefulSet, Job or CronJob."""
        return str(self.manifest["kind"])

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its pods."""
        labels: Mapping[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def app(self) -> str:
        """The value of app.kubernetes.io/name."""
        return self.labels["app.kubernetes.io/name"]

    @property
    def pod(self) -> Object:
        """The pod's specification."""
        spec: Object = self.template["spec"]
        return spec

    @property
    def runs_on(self) -> bool:
        """Whether its pods run until they are stopped."""
        return self.kind in ("Deployment", "StatefulSet")

    @property
    def job(self) -> Object:
        """The specification of a Job, or of the Jobs of a CronJob."""
        spec = self.manifest["spec"]
        found: Object = spec["jobTemplate"]["spec"] if self.kind == "CronJob" else spec
        return found

    @property
    def containers(self) -> list[Object]:
        """The containers that run side by side."""
        return list(self.pod["containers"])

    @property
    def all_containers(self) -> list[Object]:
        """These, and the ones that run before them."""
        return [*self.pod.get("initContainers", []), *self.containers]


def workloads(objects: Objects) -> list[Workload]:
    """All that make pods."""
    return [
        *(Workload(each, each["spec"]["template"]) for each in of_kind(objects, "Deployment", "StatefulSet", "Job")),
        *(Workload(each, each["spec"]["jobTemplate"]["spec"]["template"]) for each in of_kind(objects, "CronJob")),
    ]


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_matches(each, labels) for each in selector.get("matchExpressions", []))


def _matches(expression: Object, labels: Mapping[str, str]) -> bool:
    if expression["operator"] != "In":
        raise NotImplementedError(expression["operator"])
    return labels.get(expression["key"]) in expression["values"]


def selected(objects: Objects, selector: Object) -> list[Workload]:
    """The workloads whose pods a selector matches."""
    return [each for each in workloads(objects) if selects(selector, each.labels)]


def cpu(text: str) -> float:
    """A quantity of CPU in cores."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def memory(text: str) -> float:
    """A quantity of memory or storage in bytes."""
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    return float(text[:-2]) * units[text[-2:]] if text[-2:] in units else float(text)


_SECRETS = {"redis-url/url": "rediss://user:password@host:6379/0"}


def environment(objects: Objects, container: Object) -> dict[str, str]:
    """A container's variables; of a Secret an example where its form is checked, else `<secret>/<key>`."""
    maps = {each["metadata"]["name"]: each.get("data", {}) for each in of_kind(objects, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= maps.get(source["configMapRef"]["name"], {})
    for variable in container.get("env", []):
        secret = variable.get("valueFrom", {}).get("secretKeyRef")
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        elif secret and not secret.get("optional"):
            place = f"{secret['name']}/{secret['key']}"
            found[variable["name"]] = _SECRETS.get(place, place)
    return found


def flat(complaints: Iterable[Iterable[str]]) -> list[str]:
    """All complaints of several checks."""
    return [each for some in complaints for each in some]
