"""The code of the batch job as files: `main.py`, and all that it imports in `tillstream.tar.gz`."""

import gzip
import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_FOLDERS = ("recsys", "services", "spark")
_FILES = ("pyproject.toml",)  # names the version
_SUFFIXES = frozenset({".py", ".css", ".toml"})


def pack_job(folder: Path) -> Path:
    """Write both files. Equal code makes equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(REPOSITORY / "spark" / "__main__.py", folder / "main.py")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in job_files():
            _add(archive, path)
    (folder / "tillstream.tar.gz").write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return folder


def job_files() -> Iterator[Path]:
    """The files of the job, relative to the repository, in a fixed order."""
    for folder in _FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.is_file() and path.suffix in _SUFFIXES:
                yield path.relative_to(REPOSITORY)
    yield from map(Path, _FILES)


def _add(archive: tarfile.TarFile, path: Path) -> None:
    content = (REPOSITORY / path).read_bytes()
    entry = tarfile.TarInfo(path.as_posix())
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))
