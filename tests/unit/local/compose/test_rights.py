"""What the test of compose.yaml refuses of a container, as Docker and Podman describe it."""

import copy
from typing import Any

import pytest

from local.compose.check import CheckFailed, require_no_rights

DOCKER: dict[str, Any] = {
    "Config": {"User": "65532:65532"},
    "HostConfig": {
        "CapDrop": ["ALL"],
        "Privileged": False,
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges:true"],
    },
}
# Podman resolves ALL to names, and says what is left.
PODMAN: dict[str, Any] = {
    "Config": {"User": "65532:65532"},
    "HostConfig": {
        "CapDrop": ["CAP_CHOWN", "CAP_KILL"],
        "Privileged": False,
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges"],
    },
    "EffectiveCaps": None,
}


@pytest.mark.parametrize("container", [DOCKER, PODMAN])
def test_a_hardened_container_passes(container: dict[str, Any]) -> None:
    require_no_rights("gateway", container)


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("HostConfig", "ReadonlyRootfs", False, "its root is writable"),
        ("HostConfig", "Privileged", True, "it is privileged"),
        ("Config", "User", "", "it runs as root"),
        ("Config", "User", "0:0", "it runs as root"),
        ("HostConfig", "SecurityOpt", [], "it may gain privileges"),
        ("HostConfig", "CapDrop", None, "it keeps capabilities"),
    ],
)
def test_a_container_with_a_right_is_refused(part: str, field: str, value: object, message: str) -> None:
    container = copy.deepcopy(DOCKER)
    container[part][field] = value
    with pytest.raises(CheckFailed, match=f"container gateway: {message}"):
        require_no_rights("gateway", container)


def test_a_capability_that_podman_left_is_refused() -> None:
    with pytest.raises(CheckFailed, match="it keeps capabilities"):
        require_no_rights("gateway", {**PODMAN, "EffectiveCaps": ["CAP_NET_BIND_SERVICE"]})
