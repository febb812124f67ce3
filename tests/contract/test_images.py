"""Dockerfile, catalogue, locks and compose.yaml agree with each other."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from images.lay_out import CONTENTS
from local.images.catalogue import ALL
from local.images.catalogue import REPOSITORY as NAMESPACE
from local.layout import REPOSITORY
from tests.support.images import IMAGES as LOCKS

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
# Stage → the lines from its FROM to the next one.
STAGES = {stage[1]: stage[0] for stage in re.findall(r"(?ms)^(FROM \S+ AS (\S+)$.*?)(?=^FROM |\Z)", DOCKERFILE)}
LOCK = [line.split() for line in (REPOSITORY / "images" / "debian.lock").read_text().splitlines()]


def parents(stage: str) -> list[str]:
    """The stages that an image is made of, itself first; the last one starts from nothing."""
    found = [stage]
    while (base := re.match(r"FROM (\S+)", STAGES[found[-1]])) and base[1] in STAGES:
        found.append(base[1])
    return found


def test_each_image_is_a_target() -> None:
    assert {image.target for image in ALL} - set(STAGES) == set()


def test_each_image_that_has_code_has_a_lock_and_contents() -> None:
    assert {image.contents for image in ALL if image.contents} == set(CONTENTS) == set(LOCKS)


@pytest.mark.parametrize("image", CONTENTS)
def test_an_image_has_the_modules_that_its_lock_is_tested_with(image: str) -> None:
    folders = {name.replace("/", ".") for name in CONTENTS[image]}
    assert set(LOCKS[image]) - folders == set()


@pytest.mark.parametrize("target", [image.target for image in ALL])
def test_an_image_starts_from_nothing_and_runs_no_command_of_its_build(target: str) -> None:
    stages = parents(target)
    assert STAGES[stages[-1]].startswith("FROM scratch ")
    text = "".join(STAGES[stage] for stage in stages)
    assert "USER 65532:65532" in STAGES["base"]
    assert re.findall(r"(?m)^(?:RUN|USER root|USER 0|HEALTHCHECK|ADD)\b", text) == []


@pytest.mark.parametrize("target", [image.target for image in ALL])
def test_an_image_is_started_without_a_shell(target: str) -> None:
    text = "".join(STAGES[stage] for stage in parents(target))
    started = re.findall(r"(?m)^(?:ENTRYPOINT|CMD) (.)", text)
    assert set(started) == {"["}


def test_each_debian_package_is_pinned_and_used() -> None:
    unpacked = re.findall(r"debs unpack \S+ ((?:[^&\n]|\\\n)+?)(?: &&|\n)", DOCKERFILE.replace("\\\n", ""))
    used = {name for line in unpacked for name in line.split()}
    assert {entry[0] for entry in LOCK} == used
    assert [entry for entry in LOCK if len(entry) != 3 or not re.fullmatch("[0-9a-f]{64}", entry[2])] == []


def test_what_is_copied_from_the_checkout_is_not_ignored() -> None:
    allowed = re.findall(r"(?m)^!(\S+)", (REPOSITORY / ".dockerignore").read_text())
    copied = [source for line in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE) for source in line.split()]
    assert copied
    unreachable = [source for source in copied if not any(f"{source}/".startswith(f"{name}/") for name in allowed)]
    assert unreachable == []


def test_images_are_named_by_the_project() -> None:
    assert {image.name for image in ALL} == {f"{NAMESPACE}/{image.target}" for image in ALL}


def test_the_image_of_the_batch_job_starts_spark_without_a_shell() -> None:
    java = shutil.which("java")
    assert java is not None
    homes = {
        "JAVA_HOME": str(Path(java).resolve().parents[1]),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "PATH": os.environ["PATH"],
    }
    argv = [sys.executable, str(REPOSITORY / "images" / "spark-submit"), "--version"]
    answer = subprocess.run(argv, env=homes, capture_output=True, text=True, check=False)
    assert (answer.returncode, f"version {pyspark.__version__}" in answer.stderr) == (0, True), answer.stderr
