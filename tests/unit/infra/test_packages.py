"""What is packed for AWS."""

import tarfile
from pathlib import Path

import pytest

from infra.packages import NotPackaged, build_job, copy_function, require_function


def test_equal_code_makes_equal_bytes_and_holds_data_files(tmp_path: Path) -> None:
    first, second = build_job(tmp_path / "a"), build_job(tmp_path / "b")
    packed = "tillstream.tar.gz"
    assert (first / packed).read_bytes() == (second / packed).read_bytes()
    with tarfile.open(first / packed) as archive:
        names = set(archive.getnames())
    assert {"spark/job.py", "recsys/evaluation/html_report.css", "services/__init__.py", "pyproject.toml"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


def test_a_function_that_is_not_packed_is_refused_with_the_command_that_packs_it(tmp_path: Path) -> None:
    with pytest.raises(NotPackaged, match="make aws-package"):
        require_function(tmp_path)
    assert require_function(copy_function(tmp_path / "function")) == tmp_path / "function"
