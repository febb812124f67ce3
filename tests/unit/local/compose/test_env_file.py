"""The keys of one installation."""

import stat
from pathlib import Path

from local.compose.env_file import KEYS, write_env_file
from local.layout import REPOSITORY


def values(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_keys_are_random_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert write_env_file(first)
    assert write_env_file(second)
    assert set(values(first)) == set(KEYS)
    assert min(map(len, values(first).values())) >= 40
    assert set(values(first).values()) & set(values(second).values()) == set()
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


def test_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("TILLSTREAM_S3_ACCESS_KEY=mine\n")
    assert not write_env_file(path)
    assert path.read_text() == "TILLSTREAM_S3_ACCESS_KEY=mine\n"


def test_the_file_never_gets_into_the_repository() -> None:
    assert ".env" in (REPOSITORY / ".gitignore").read_text().splitlines()
