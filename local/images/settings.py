"""Settings of `make images`."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from local.layout import STATE
from services.common.settings import Settings


class ImageSettings(Settings):
    """Every field is set by `TILLSTREAM_<FIELD>`."""

    images_dir: Path = Field(default=STATE / "images", description="archives, SBOMs and images.json")
    images_builder: Literal["", "buildah", "docker"] = Field(default="", description="empty: the one that is installed")
    images_base: str = Field(default="", description="a Debian 12 image to build in; empty: made, or the Dockerfile's")
