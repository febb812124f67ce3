"""The templates, synthesized once."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.packages import REPOSITORY
from tests.aws.templates import Installation


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that tests/aws/synthesize.py has written."""
    folder = tmp_path_factory.mktemp("aws")
    command = [sys.executable, "-m", "tests.aws.synthesize", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def installation(synthesized: Path) -> Installation:
    """The default installation."""
    return Installation.read(synthesized / "default")


@pytest.fixture(scope="session")
def serverless(synthesized: Path) -> Installation:
    """MSK Serverless with the archiver, in another region, with an administrator."""
    return Installation.read(synthesized / "serverless")
