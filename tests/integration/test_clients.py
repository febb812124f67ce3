"""The clients are generated from this tree's document, and their examples run against a gateway."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import TopicFactory
from tests.support.gateway_process import gateway_process
from tests.support.gateway_tables import SHOP, TableWriter

ROOT = Path(__file__).parents[2]
CUSTOMER = "1515915625441993984"


def run(*command: str | Path, **variables: str) -> str:
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clients")
    run(ROOT / "clients" / "generate.sh", out, PYTHON=sys.executable)
    return out


@pytest.fixture
def gateway(redis_url: str, kafka: str, topics: TopicFactory, tmp_path: Path) -> Iterator[str]:
    writer = TableWriter(redis_url)
    writer.write(SHOP)
    writer.close()
    given = {"redis_url": redis_url, "kafka_bootstrap": kafka, "purchases_topic": topics().purchases}
    with gateway_process(tmp_path / "log", **given) as port:
        yield f"http://127.0.0.1:{port}"


def test_the_examples_of_both_clients_run(clients: Path, gateway: str) -> None:
    run(ROOT / "web" / "node_modules" / ".bin" / "tsc", "--project", clients / "typescript")
    of_python = run(
        sys.executable, clients / "python" / "example.py", gateway, CUSTOMER, PYTHONPATH=str(clients / "python")
    )
    of_typescript = run("node", clients / "typescript" / "out" / "example.js", gateway, CUSTOMER)
    revenue, recommended, accepted = of_python.splitlines()
    assert of_typescript == of_python
    assert revenue == "revenue 266.99"
    assert len(recommended.split()) > 1
    assert accepted == "accepted 1"
