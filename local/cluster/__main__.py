"""`python -m local.cluster`: Tillstream in a real Kubernetes cluster on this machine."""

import argparse
import subprocess
import sys

from pydantic import ValidationError

from local.cluster import commands
from local.cluster.fetch.errors import FetchError
from local.cluster.kubectl import KubectlError
from local.cluster.node import NodeError
from local.http import NoAnswer
from local.lockfile import AlreadyRunning
from local.prerequisites import MissingPrerequisite
from local.process import ProcessDied
from local.signals import Stopped, stoppable
from services.common.settings import explain
from services.common.telemetry import PortInUse

DESCRIPTION = """\
A real Kubernetes cluster on this machine, with Tillstream in it: one node with k8s/overlays/local, or
TILLSTREAM_CLUSTER_NODES=3 with k8s/overlays/ha-demo.

  up         start the cluster, apply the manifests, wait until a personal recommendation is given
  down       end the cluster and its data; also after a crash
  status     nodes, pods and the page's address
  kubectl    kubectl with the administrator's rights: python -m local.cluster kubectl get pods
  test       tests in the running cluster: kills, rolling restarts, scaling, policies; writes report.json
  fetch      only fetch and build the programs: a quarter of an hour, once
"""
EPILOG = """\
Needs root, Debian, Go and gcc; `fetch` says what is missing. Programs are kept in ~/.cache/tillstream (XDG_CACHE_HOME).
Nodes live in namespaces of their own. The one port it opens on this machine is the page's, on the loopback address:
TILLSTREAM_CLUSTER_PORT (8090). State and logs are in .tillstream/cluster (TILLSTREAM_CLUSTER_STATE).

Exit status: 0 success; 1 failure; 2 wrong usage or settings, or a port in use; 130 interrupted. `kubectl` and `test`:
those of kubectl and pytest.
"""
_EXPECTED = (
    AlreadyRunning,
    FetchError,
    KubectlError,
    MissingPrerequisite,
    NoAnswer,
    NodeError,
    ProcessDied,
    TimeoutError,
    subprocess.CalledProcessError,
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command not in ("kubectl", "test"):
        _parser().error(f"unknown: {' '.join(rest)}")
    try:
        with stoppable():
            return _run(options, rest)
    except ValidationError as error:
        return _complain(explain(error), 2)
    except PortInUse as error:
        return _complain(str(error), 2)
    except _EXPECTED as error:
        return _complain(str(error), 1)
    except Stopped:
        return 130


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    match options.command:
        case "up":
            commands.up(bare=options.bare)
        case "down":
            commands.down()
        case "status":
            return 0 if commands.status() else 1
        case "kubectl":
            return commands.kubectl(rest)
        case "test":
            return commands.test(rest)
        case "fetch":
            commands.fetch_programs()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m local.cluster",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    up = parsers.add_parser("up", help="start the cluster with Tillstream")
    up.add_argument("--bare", action="store_true", help="the cluster alone, without Tillstream")
    parsers.add_parser("down", help="end the cluster and its data")
    parsers.add_parser("status", help="node, pods, address")
    parsers.add_parser("kubectl", help="kubectl ARGUMENT...", add_help=False)
    parsers.add_parser("test", help="test the running cluster; arguments go to pytest", add_help=False)
    parsers.add_parser("fetch", help="fetch and build the programs")
    return parser


def _complain(text: str, status: int) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
