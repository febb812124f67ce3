"""What is wrong with an installation shows in `kubectl get pods`, and `kubectl describe pod` says why."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.cluster.kubectl import wait
from local.cluster.shop import IN_NAMESPACE, NAMESPACE, Shop
from tests.cluster.report import Report

_WITHIN_S = 180  # the kubelet measures volumes once a minute

Json = dict[str, Any]


def _missing_secret(spec: Json) -> None:
    reference = {"secretKeyRef": {"name": "not-made", "key": "password"}}
    spec["containers"][0]["env"] = [{"name": "PASSWORD", "valueFrom": reference}]


def _wrong_image(spec: Json) -> None:
    spec["containers"][0]["image"] = "tillstream/archiver:not-built"


def _no_memory_on_any_node(spec: Json) -> None:
    spec["containers"][0]["resources"] = {"requests": {"memory": "4Ti"}}


def _too_little_memory(spec: Json) -> None:
    spec["containers"][0]["resources"] = {"requests": {"memory": "16Mi"}, "limits": {"memory": "16Mi"}}


def _full_volume(spec: Json) -> None:
    """The program writes more than its scratch volume may hold."""
    spec["containers"][0]["command"] = ["python3.11", "-c", _FILL]
    spec["containers"][0]["args"] = []
    scratch = next(volume for volume in spec["volumes"] if volume["name"] == "tmp")
    scratch["emptyDir"]["sizeLimit"] = "4Mi"


_FILL = "import time; open('/tmp/full', 'wb').write(bytes(64 * 2**20)); time.sleep(3600)"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with a pod: the states that `kubectl get pods` may show, and what `kubectl describe` must say."""

    name: str
    make: Callable[[Json], None]
    states: tuple[str, ...]
    described: str


# As the kubelet saw the container's end before or after it evicted the pod.
EVICTED = ("Error", "Evicted", "ContainerStatusUnknown")
MISTAKES = [
    Mistake("missing secret", _missing_secret, ("CreateContainerConfigError",), 'secret "not-made" not found'),
    Mistake("wrong image", _wrong_image, ("ImagePullBackOff",), "Failed to pull image"),
    Mistake("no node has the memory", _no_memory_on_any_node, ("Pending",), "Insufficient memory"),
    Mistake("too little memory", _too_little_memory, ("CrashLoopBackOff",), "OOMKilled"),
    Mistake("full volume", _full_volume, EVICTED, 'Usage of EmptyDir volume "tmp" exceeds the limit'),
]


@pytest.fixture
def pod(shop: Shop) -> Iterator[Json]:
    """A copy of an archiver's pod under a name and label of its own: no Service and no Deployment knows it."""
    found = shop.kubectl.items("pods", IN_NAMESPACE, "--selector=app.kubernetes.io/name=archiver")[0]
    spec = copy.deepcopy(found["spec"])
    for field in ("nodeName", "topologySpreadConstraints"):
        spec.pop(field, None)
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mistake", "namespace": NAMESPACE}, "spec": spec}
    shop.kubectl("delete", "pod", "mistake", IN_NAMESPACE, "--ignore-not-found", "--grace-period=1")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_shown(shop: Shop, report: Report, pod: Json, mistake: Mistake) -> None:
    mistake.make(pod["spec"])
    shop.kubectl("create", "-f", "-", text=json.dumps(pod))

    def state() -> str:
        return shop.kubectl("get", "pod", "mistake", IN_NAMESPACE, "--no-headers").split()[2]

    def is_shown() -> bool:
        return state() in mistake.states and bool(_description(shop, mistake.described))

    took = wait(f"{mistake.name} shows as {' or '.join(mistake.states)}", is_shown, _WITHIN_S)
    said = _description(shop, mistake.described)
    report.add("Mistakes", {"mistake": mistake.name, "get pods": state(), "describe pod": said, "after s": took})


def _description(shop: Shop, part: str) -> str:
    """The line of `kubectl describe pod` that has this part; empty if there is none."""
    lines = shop.kubectl("describe", "pod", "mistake", IN_NAMESPACE).splitlines()
    return next((" ".join(line.split())[:140] for line in lines if part in line), "")
