"""Process 1 of the node: `python -m local.cluster.init SPEC.json`, in new namespaces.

Makes the node's mounts and network, then runs its components for ever, each once what it waits for listens, and again
a second after it ends, as a service manager does.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

_POLL_S = 0.1
_PAUSE_S = 1.0
# Settings of the kernel that the kubelet insists on writing. It writes small files bound over them; the machine's stay.
_KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


@dataclass(frozen=True, slots=True)
class Component:
    """One program of the node. `after` = HOST:PORT or a Unix socket that must listen before it starts."""

    name: str
    argv: list[str]
    log: str
    after: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What process 1 makes. `usr` = a folder laid over /usr; `hosts` and `resolver` = files bound into /etc."""

    name: str
    address: str
    usr: str
    binds: dict[str, str]
    components: list[Component]

    def dump(self, path: Path) -> None:
        """Write it for process 1."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> "NodeSpec":
        """Read what `dump` wrote."""
        fields = json.loads(path.read_text())
        return cls(**{**fields, "components": [Component(**each) for each in fields["components"]]})


def prepare(spec: NodeSpec) -> None:
    """Mounts and network. The namespaces are new and private: nothing here is seen outside."""
    _run("hostname", spec.name)
    _run("mount", "-t", "proc", "proc", "/proc")
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    _mount_cgroups()
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run")
    _run("mount", "-t", "overlay", "-o", f"lowerdir={spec.usr}:/usr", "overlay", "/usr")
    for source, target in spec.binds.items():
        _run("mount", "--bind", source, target)
    _hold_kernel_settings()
    _run("mount", "--make-rshared", "/")
    _connect(spec.address)


def _mount_cgroups() -> None:
    root = Path("/sys/fs/cgroup")
    names = [line.split(":", 2)[1] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", str(root))
    for name in names:
        folder = root / (name.removeprefix("name=") or "unified")
        folder.mkdir()
        kind = ["cgroup", "-o", f"none,{name}" if "=" in name else name] if name else ["cgroup2"]
        _run("mount", "-t", *kind, "cgroup", str(folder))


def _hold_kernel_settings() -> None:
    """/proc/sys becomes read-only, but for the network's, which belong to the namespace."""
    _run("mount", "--bind", "/proc/sys", "/proc/sys")
    _run("mount", "--bind", "/proc/sys/net", "/proc/sys/net")
    _run("mount", "-o", "remount,bind,ro", "/proc/sys")
    held = Path("/run/kernel-settings")
    held.mkdir()
    for name, value in _KERNEL.items():
        file = held / name.replace("/", "_")
        file.write_text(value)
        _run("mount", "--bind", str(file), f"/proc/sys/{name}")


def _connect(address: str) -> None:
    """An interface with the node's address. Its other end is in the node too: nothing leads out of it."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0-peer")
    _run("ip", "address", "add", f"{address}/24", "dev", "eth0")
    _run("ip", "link", "set", "eth0", "up")
    _run("ip", "link", "set", "eth0-peer", "up")
    _run("ip", "route", "add", "default", "dev", "eth0")  # programs look for the node's address by it
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


class Supervisor:
    """Runs components and starts them again. Process 1 also reaps every orphan of the node."""

    def __init__(self, components: list[Component]) -> None:
        self._due = {component.name: 0.0 for component in components}
        self._components = {component.name: component for component in components}
        self._running: dict[int, str] = {}

    def turn(self) -> None:
        """Reap what has ended, start what is due."""
        for pid in _ended():
            if name := self._running.pop(pid, None):
                print(f"{name} has ended", flush=True)
                self._due[name] = time.monotonic() + _PAUSE_S
        for name in [name for name, due in self._due.items() if due <= time.monotonic()]:
            if is_listening(self._components[name].after):
                del self._due[name]
                self._running[_start(self._components[name])] = name


def is_listening(place: str) -> bool:
    """Whether something listens at HOST:PORT or at a Unix socket's path; True for none."""
    if not place:
        return True
    local = place.startswith("/")
    with socket.socket(socket.AF_UNIX if local else socket.AF_INET) as probe:
        probe.settimeout(1)
        host, _, port = place.partition(":")
        return probe.connect_ex(place if local else (host, int(port))) == 0


def _ended() -> Iterator[int]:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid


def _start(component: Component) -> int:
    print(f"starting {component.name}", flush=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    output = [(os.POSIX_SPAWN_OPEN, 1, component.log, flags, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
    environment = {**os.environ, **component.environment}
    return os.posix_spawnp(component.argv[0], component.argv, environment, file_actions=output, setsid=True)


def main() -> None:
    """Prepare, then supervise until the node's processes are killed."""
    spec = NodeSpec.load(Path(sys.argv[1]))
    prepare(spec)
    print("prepared", flush=True)
    supervisor = Supervisor(spec.components)
    while True:
        supervisor.turn()
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main()
