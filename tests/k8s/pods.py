"""What every pod must have. Each check returns its complaints."""

import re
from collections.abc import Iterator

from tests.k8s.manifests import (
    Object,
    Objects,
    Workload,
    cpu,
    memory,
    names,
    of_kind,
    selected,
    selects,
    title,
    workloads,
)

_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
_USER = 65532
# Seconds that a service takes at most after SIGTERM: docs/reliability.md, "Clean stops".
DRAINS = {"aggregator": 10, "archiver": 10, "gateway": 10, "recommender": 10, "producer": 10}
_PATIENCE_S = 30


def restricted(objects: Objects) -> Iterator[str]:
    """The Pod Security Standard "restricted", and a root file system that nobody writes."""
    for workload in workloads(objects):
        pod = workload.pod
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or context.get("runAsUser") != _USER or context.get("fsGroup") != _USER:
            yield f"{workload.title}: runAsNonRoot, runAsUser and fsGroup {_USER} are missing"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{workload.title}: seccompProfile RuntimeDefault is missing"
        if any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{workload.title}: it shares a namespace of the node"
        for volume in pod.get("volumes", []):
            if not _VOLUMES & volume.keys():
                yield f"{workload.title}: volume {volume['name']} is of a kind that the profile refuses"
        for container in workload.all_containers:
            yield from (f"{workload.title}: {each}" for each in _restricted_container(container))


def _restricted_container(container: Object) -> Iterator[str]:
    context, name = container.get("securityContext", {}), container["name"]
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield f"{name}: allowPrivilegeEscalation: false is missing"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{name}: capabilities are not dropped"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{name}: the root file system can be written"
    if context.get("runAsUser", _USER) != _USER or context.get("runAsNonRoot") is False:
        yield f"{name}: another user than {_USER}"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{name}: it takes a port of the node"


def identity(objects: Objects) -> Iterator[str]:
    """A ServiceAccount for each workload, and no token: nothing calls the API."""
    accounts = {each["metadata"]["name"]: each for each in of_kind(objects, "ServiceAccount")}
    for workload in workloads(objects):
        account = accounts.get(workload.pod.get("serviceAccountName", ""))
        if account is None:
            yield f"{workload.title}: no ServiceAccount of its own"
        elif account.get("automountServiceAccountToken") is not False:
            yield f"{workload.title}: its ServiceAccount mounts a token"
        if workload.pod.get("automountServiceAccountToken") is not False:
            yield f"{workload.title}: it mounts a token"
        if workload.pod.get("enableServiceLinks") is not False:
            yield f"{workload.title}: its environment has the addresses of all Services"


def probes(objects: Objects) -> Iterator[str]:
    """Three probes for what runs on, on ports that exist; a deadline and a number of tries for what ends."""
    for workload in workloads(objects):
        if not workload.runs_on:
            if not {"activeDeadlineSeconds", "backoffLimit"} <= workload.job.keys():
                yield f"{workload.title}: no deadline or no limit of tries"
            continue
        for container in workload.containers:
            yield from (f"{workload.title}: {container['name']}: {each}" for each in _probes(container))


def _probes(container: Object) -> Iterator[str]:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.get(kind)
        if probe is None:
            yield f"{kind} is missing"
            continue
        action: Object = next((probe[name] for name in ("httpGet", "tcpSocket", "grpc") if name in probe), {})
        if not _listens(container, action.get("port"), numbers_only="grpc" in probe):
            yield f"{kind} asks a port that the container does not open: {action.get('port')}"
    liveness = container.get("livenessProbe", {})
    if "ready" in liveness.get("httpGet", {}).get("path", ""):
        yield "livenessProbe asks for readiness: an outage elsewhere would restart it"
    if liveness.get("periodSeconds", 10) * liveness.get("failureThreshold", 3) < _PATIENCE_S:
        yield f"livenessProbe gives up before {_PATIENCE_S} s: a busy node would restart it"


def _listens(container: Object, port: object, *, numbers_only: bool) -> bool:
    ports = container.get("ports", [])
    if isinstance(port, int):
        return any(each["containerPort"] == port for each in ports)
    return not numbers_only and any(each.get("name") == port for each in ports)


def stops(objects: Objects) -> Iterator[str]:
    """Enough time for preStop and drain."""
    for workload in workloads(objects):
        for container in workload.containers:
            waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            needed = waits + DRAINS.get(workload.app, 0)
            if workload.pod.get("terminationGracePeriodSeconds", 30) <= needed:
                yield f"{workload.title}: terminationGracePeriodSeconds must be above {needed}"


def resources(objects: Objects) -> Iterator[str]:
    """Requests of CPU and memory, and a limit of memory. No limit of CPU: it would only make answers late."""
    for workload in workloads(objects):
        for container in workload.all_containers:
            given = container.get("resources", {})
            requests, limits = given.get("requests", {}), given.get("limits", {})
            if not {"cpu", "memory"} <= requests.keys() or limits.keys() != {"memory"}:
                yield f"{workload.title}: {container['name']}: requests of cpu and memory, limit of memory"
            elif memory(requests["memory"]) > memory(limits["memory"]):
                yield f"{workload.title}: {container['name']}: it requests more memory than its limit"
        for volume in workload.pod.get("volumes", []):
            if "sizeLimit" not in volume.get("emptyDir", {"sizeLimit": ""}):
                yield f"{workload.title}: volume {volume['name']} may fill the node's disk"


def cpu_requested(objects: Objects) -> float:
    """Cores that the scheduler must find for all pods at once, those of Jobs too."""
    return sum(_pod_cpu(each) * replicas(objects, each) for each in workloads(objects))


def _pod_cpu(workload: Workload) -> float:
    def requested(container: Object) -> float:
        return cpu(container["resources"]["requests"]["cpu"])

    before = [requested(each) for each in workload.pod.get("initContainers", [])]
    return max(*before, 0, sum(requested(each) for each in workload.containers))


def replicas(objects: Objects, workload: Workload) -> int:
    """How many pods it has at least."""
    for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        if scaler["spec"]["scaleTargetRef"]["name"] == workload.manifest["metadata"]["name"] and workload.runs_on:
            spec = scaler["spec"]
            return int(spec.get("minReplicas") or spec["minReplicaCount"])
    return int(workload.manifest["spec"].get("replicas", 1))


def availability(objects: Objects) -> Iterator[str]:
    """More than one pod: a budget for disruptions, and nodes to spread over. Gateway and recommender have two."""
    budgets = list(of_kind(objects, "PodDisruptionBudget"))
    for budget in budgets:
        if len(selected(objects, budget["spec"]["selector"])) != 1:
            yield f"{title(budget)}: it does not select the pods of one workload"
        if budget["spec"].get("maxUnavailable") != 1 or "minAvailable" in budget["spec"]:
            yield f"{title(budget)}: one pod at a time may go"
    for workload in workloads(objects):
        if replicas(objects, workload) < 2:
            if workload.app in ("gateway", "recommender"):
                yield f"{workload.title}: users notice the death of a single pod"
            continue
        if sum(selects(budget["spec"]["selector"], workload.labels) for budget in budgets) != 1:
            yield f"{workload.title}: no PodDisruptionBudget"
        spread = workload.pod.get("topologySpreadConstraints", [])
        if not any(_spreads(each, workload) for each in spread):
            yield f"{workload.title}: it is not spread over nodes"


def _spreads(constraint: Object, workload: Workload) -> bool:
    by_node = constraint["topologyKey"] == "kubernetes.io/hostname"
    return by_node and selects(constraint["labelSelector"], workload.labels)


def scaled_once(objects: Objects) -> Iterator[str]:
    """What an autoscaler sets is not written down as well: `kubectl apply` would set it back."""
    targets = [
        each["spec"]["scaleTargetRef"]["name"] for each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    ]
    for workload in workloads(objects):
        name = workload.manifest["metadata"]["name"]
        if workload.runs_on and name in targets and "replicas" in workload.manifest["spec"]:
            yield f"{workload.title}: replicas and an autoscaler"
        if targets.count(name) > 1:
            yield f"{workload.title}: two autoscalers"


def priorities(objects: Objects) -> Iterator[str]:
    """A priority for each pod."""
    known = names(objects, "PriorityClass")
    for workload in workloads(objects):
        if workload.pod.get("priorityClassName") not in known:
            yield f"{workload.title}: no priority class"


_IMAGE = re.compile(r"(?:[\w.-]+(?::\d+)?/)*tillstream/([\w-]+)(?::([\w.-]+))?(?:@(sha256:[0-9a-f]{64}))?")


def images(objects: Objects, version: str) -> Iterator[str]:
    """Images of this version or by digest, never pulled again where they are there."""
    for workload in workloads(objects):
        for container in workload.all_containers:
            named = _IMAGE.fullmatch(container["image"])
            if not named or not (named[3] or named[2] == version):
                yield f"{workload.title}: {container['image']} is neither of version {version} nor a digest"
            if container.get("imagePullPolicy") != "IfNotPresent":
                yield f"{workload.title}: {container['name']}: imagePullPolicy"


CHECKS = (restricted, identity, probes, stops, resources, availability, scaled_once, priorities)
