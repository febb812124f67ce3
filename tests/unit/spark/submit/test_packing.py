"""The job's code as files."""

import tarfile
from pathlib import Path

from spark.submit.packing import pack_job


def test_equal_code_makes_equal_bytes_and_holds_data_files(tmp_path: Path) -> None:
    first, second = pack_job(tmp_path / "a"), pack_job(tmp_path / "b")
    packed = "tillstream.tar.gz"
    assert (first / packed).read_bytes() == (second / packed).read_bytes()
    with tarfile.open(first / packed) as archive:
        names = set(archive.getnames())
    assert {"spark/job.py", "recsys/evaluation/html_report.css", "services/__init__.py", "pyproject.toml"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]
