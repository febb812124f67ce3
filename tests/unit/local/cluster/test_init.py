"""Process 1 of the node: its specification, and what listens."""

import json
import socket
from pathlib import Path

from local.cluster.init import Component, NodeSpec, is_listening


def test_a_specification_is_read_as_it_was_written(tmp_path: Path) -> None:
    component = Component(
        "etcd", ["/bin/etcd", "--name=n"], "/log", after="127.0.0.1:2379", environment={"PATH": "/bin"}
    )
    spec = NodeSpec("node1", "192.168.77.1", "/cache/usr", {"/a": "/b"}, [component])
    spec.dump(tmp_path / "node.json")
    assert NodeSpec.load(tmp_path / "node.json") == spec
    assert json.loads((tmp_path / "node.json").read_text())["components"][0]["after"] == "127.0.0.1:2379"


def test_what_listens_is_seen(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert not is_listening(path)
        server.listen()
        assert is_listening(path)
    assert is_listening("")
