"""The import rules of CONTRIBUTING.md. Who may import whom is declared in pyproject.toml, [tool.importlinter]."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from local.layout import REPOSITORY

MAY_READ_THE_ENVIRONMENT = {
    "recsys/__init__.py": "OpenBLAS reads its threads there, once",
    "spark/session.py": "Spark's Python workers inherit it",
}


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Path from the root and syntax tree of every module in the folders."""
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            yield path.relative_to(REPOSITORY).as_posix(), syntax_tree(path)


@cache
def syntax_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """The dotted name of every module that is imported, also where `from` names it last."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reads_the_environment(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("os", "environ"), ("os", "getenv"), ("os", "environb")}
        for node in ast.walk(tree)
    ) or any(name in {"os.environ", "os.getenv"} for name in imported(tree))


def test_everyone_imports_only_what_the_contracts_allow() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


def test_only_settings_read_the_environment() -> None:
    readers = {path for path, tree in modules("recsys", "services", "spark") if reads_the_environment(tree)}
    assert readers == set(MAY_READ_THE_ENVIRONMENT)


def test_settings_are_declared_in_settings_modules() -> None:
    elsewhere = [
        path
        for path, tree in modules("recsys", "services", "spark")
        if "pydantic_settings" in set(imported(tree)) and Path(path).name != "settings.py"
    ]
    assert elsewhere == []


def test_no_test_imports_a_test() -> None:
    offenders = [
        (path, name)
        for path, tree in modules("tests")
        for name in imported(tree)
        if name.startswith("tests.") and name.split(".")[-1].startswith("test_")
    ]
    assert offenders == []


def test_tests_read_metrics_in_one_place() -> None:
    """There a count is compared with what it was before: all tests of a worker add to it."""
    readers = {
        path
        for path, tree in modules("tests")
        if "prometheus_client.REGISTRY" in set(imported(tree))
        or any(isinstance(node, ast.Attribute) and ast.unparse(node).endswith("._value.get") for node in ast.walk(tree))
    }
    assert readers == {"tests/support/metrics.py", "tests/contract/test_metrics_docs.py"}


def test_consumers_are_made_in_one_place() -> None:
    """There they read committed records only; Faust makes its own, see services/aggregator/transport.py."""
    makers = {
        path
        for path, tree in modules("recsys", "services", "spark", "local", "bench")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "AIOKafkaConsumer"
    }
    assert makers == {"services/common/kafka.py"}
