"""The images: each is a target of the Dockerfile."""

from dataclasses import dataclass

REGISTRY = "docker.io"  # what `image: tillstream/gateway` means to Docker, Podman and Kubernetes
REPOSITORY = "tillstream"


@dataclass(frozen=True, slots=True)
class Image:
    """A target of the Dockerfile. `contents` names its lock and its code; empty for an engine."""

    target: str
    contents: str = ""

    @property
    def name(self) -> str:
        """As manifests and compose.yaml name it, without its tag."""
        return f"{REPOSITORY}/{self.target}"

    def reference(self, tag: str) -> str:
        """The full name, as a container runtime stores it."""
        return f"{REGISTRY}/{self.name}:{tag}"


SERVICES = tuple(Image(name, name) for name in ("producer", "archiver", "aggregator", "recommender", "gateway"))
BATCH_JOB = Image("spark", "spark")
ENGINES = tuple(Image(name) for name in ("kafka", "valkey", "seaweedfs", "prometheus"))
DEMO_DATA = Image("demo-data", "producer")

ALL = (*SERVICES, BATCH_JOB, *ENGINES, DEMO_DATA)


class UnknownImage(Exception):
    """No image has this name."""


def chosen(names: list[str]) -> tuple[Image, ...]:
    """The images by their short names, in the order of the catalogue; all where none is named. Raises UnknownImage."""
    known = {image.target: image for image in ALL}
    if unknown := [name for name in names if name not in known]:
        raise UnknownImage(f"no image {', '.join(unknown)}: there are {', '.join(known)}")
    return tuple(image for image in ALL if image.target in names) if names else ALL
