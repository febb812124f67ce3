"""Every name that an object mentions exists. Each check returns its complaints."""

import re
from collections.abc import Iterator

from tests.k8s.manifests import (
    Object,
    Objects,
    Workload,
    environment,
    names,
    of_kind,
    selected,
    title,
    workloads,
)

NAMESPACE = "tillstream"
_CLUSTER_WIDE = {"Namespace", "PriorityClass"}
# host:port, as an address of a setting or at the end of a URL's host
_ADDRESS = re.compile(r"(?:^|//|,|@)([a-z][a-z0-9.-]*):(\d+)")


def namespaces(objects: Objects) -> Iterator[str]:
    """One namespace, which enforces the restricted profile."""
    for each in objects:
        expected = None if each["kind"] in _CLUSTER_WIDE else NAMESPACE
        if each["metadata"].get("namespace") != expected:
            yield f"{title(each)}: namespace {each['metadata'].get('namespace')}"
    (namespace,) = of_kind(objects, "Namespace")
    if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "Namespace: it does not enforce the restricted profile"


def selectors(objects: Objects) -> Iterator[str]:
    """A workload selects its own pods and nobody else's; Services and policies select some."""
    for workload in workloads(objects):
        if workload.runs_on:
            found = selected(objects, workload.manifest["spec"]["selector"])
            if [each.title for each in found] != [workload.title]:
                yield f"{workload.title}: it selects the pods of {[each.title for each in found]}"
    for service in of_kind(objects, "Service"):
        found = selected(objects, {"matchLabels": service["spec"]["selector"]})
        if not found and service["metadata"]["name"] != "producer":  # replays come and go
            yield f"{title(service)}: it selects nothing"
        for port in service["spec"]["ports"]:
            yield from (
                f"{title(service)}: {each.title} has no port {port['targetPort']}"
                for each in found
                if not _has_port(each, port["targetPort"], port["port"])
            )


def _has_port(workload: Workload, name: object, number: int) -> bool:
    """Whether a container opens the named port, by the number that the Service shows: one number in every place."""
    ports = [port for container in workload.containers for port in container.get("ports", [])]
    return any(port["name"] == name and port["containerPort"] == number for port in ports)


def references(objects: Objects) -> Iterator[str]:
    """ConfigMaps, claims, Services of StatefulSets, targets of autoscalers, backends of an Ingress."""
    for workload in workloads(objects):
        yield from (f"{workload.title}: {each}" for each in _of_pod(objects, workload))
    for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        if scaler["spec"]["scaleTargetRef"]["name"] not in names(objects, "Deployment"):
            yield f"{title(scaler)}: its target does not exist"
    ports = {
        (each["metadata"]["name"], port["name"])
        for each in of_kind(objects, "Service")
        for port in each["spec"]["ports"]
    }
    for ingress in of_kind(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                if (backend["name"], backend["port"]["name"]) not in ports:
                    yield f"{title(ingress)}: Service {backend['name']} has no port {backend['port']['name']}"


def _of_pod(objects: Objects, workload: Workload) -> Iterator[str]:
    maps, volumes = names(objects, "ConfigMap"), _volumes(workload)
    if workload.kind == "StatefulSet" and workload.manifest["spec"]["serviceName"] not in names(objects, "Service"):
        yield "its Service does not exist"
    for volume in workload.pod.get("volumes", []):
        if "configMap" in volume and volume["configMap"]["name"] not in maps:
            yield f"ConfigMap {volume['configMap']['name']} does not exist"
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim is not None and claim not in names(objects, "PersistentVolumeClaim"):
            yield f"PersistentVolumeClaim {claim} does not exist"
    for container in workload.all_containers:
        for source in container.get("envFrom", []):
            if source["configMapRef"]["name"] not in maps:
                yield f"ConfigMap {source['configMapRef']['name']} does not exist"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"volume {mount['name']} does not exist"


def _volumes(workload: Workload) -> set[str]:
    claims = workload.manifest["spec"].get("volumeClaimTemplates", [])
    return {each["name"] for each in workload.pod.get("volumes", [])} | {each["metadata"]["name"] for each in claims}


def secrets_used(objects: Objects) -> dict[str, set[str]]:
    """The Secrets that somebody has to create: name → keys."""
    found: dict[str, set[str]] = {}
    for workload in workloads(objects):
        for container in workload.all_containers:
            for variable in container.get("env", []):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    found.setdefault(reference["name"], set()).add(reference["key"])
        for volume in workload.pod.get("volumes", []):
            if "secret" in volume:
                found.setdefault(volume["secret"]["secretName"], set())
    for ingress in of_kind(objects, "Ingress"):
        for tls in ingress["spec"].get("tls", []):
            found.setdefault(tls["secretName"], set())
    return found


def addresses(objects: Objects) -> Iterator[str]:
    """Addresses in the settings lead to Services here, on a port that they have."""
    ports = {
        each["metadata"]["name"]: {port["port"] for port in each["spec"]["ports"]}
        for each in of_kind(objects, "Service")
    }
    for workload in workloads(objects):
        for container in workload.containers:
            for name, value in _settings(objects, container).items():
                for host, port in _ADDRESS.findall(value.replace("dns:///", "")):
                    if int(port) not in ports.get(host.partition(".")[0], set()):
                        yield f"{workload.title}: {name}={value}: no Service {host} with port {port}"


def _settings(objects: Objects, container: Object) -> dict[str, str]:
    return {name: value for name, value in environment(objects, container).items() if name.startswith("TILLSTREAM_")}


CHECKS = (namespaces, selectors, references)
