"""An overlay by digests: what a registry is asked for."""

import json
import re
from pathlib import Path

import pytest

from local.k8s_pin import NotBuilt, images, write
from tests.k8s.manifests import Object, build, workloads

DIGEST = "sha256:" + 64 * "5"
NAMES = (
    "aggregator",
    "archiver",
    "demo-data",
    "gateway",
    "kafka",
    "producer",
    "recommender",
    "seaweedfs",
    "spark",
    "valkey",
)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "images.json"
    path.write_text(json.dumps({each: {"name": f"tillstream/{each}", "tag": "1", "digest": DIGEST} for each in NAMES}))
    return path


def named(objects: list[Object]) -> set[str]:
    return {container["image"] for workload in workloads(objects) for container in workload.all_containers}


@pytest.mark.parametrize(
    ("registry", "prefix"), [("", ""), ("registry.example:5000/shop/", "registry.example:5000/shop/")]
)
def test_every_image_is_named_by_its_digest(record: Path, tmp_path: Path, registry: str, prefix: str) -> None:
    folder = write("local", images(record, registry), tmp_path / "pinned")
    found = named(build(folder))
    assert len(found) >= 9
    assert all(re.fullmatch(rf"{re.escape(prefix)}tillstream/[a-z0-9-]+@{DIGEST}", each) for each in found), found


def test_without_images_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="make images"):
        images(tmp_path / "images.json", "")
