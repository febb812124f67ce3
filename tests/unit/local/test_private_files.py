"""Files of the owner alone: whole or not there, and the folder of the state."""

import os
import stat
from pathlib import Path

import pytest

from local import layout
from local.engines.private_files import stored_secret, write_private
from local.engines.seaweedfs import stored_keys
from local.engines.valkey import quoted
from local.layout import Layout


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_write_that_fails_leaves_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deep" / "password"
    write_private(file, "form\u00e9r")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="no space"):
            write_private(file, "new")
    assert file.read_text(encoding="utf-8") == "form\u00e9r"
    assert [*file.parent.iterdir()] == [file]


def full_disk(_descriptor: int) -> None:
    raise OSError("no space left")


def test_a_written_file_is_its_owners_whatever_was_there(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("former")
    file.chmod(0o644)
    write_private(file, "new")
    assert (file.read_text(), mode(file)) == ("new", 0o600)


def test_an_empty_secret_is_made_again_and_then_kept(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("")
    (tmp_path / "identities.json").write_text("\n")
    made, keys = stored_secret(tmp_path / "password"), stored_keys(tmp_path)
    assert len(made) >= 43
    assert (stored_secret(tmp_path / "password"), stored_keys(tmp_path)) == (made, keys)


def test_the_configuration_of_valkey_has_any_path() -> None:
    assert quoted("/a b/j\u00fc") == r'"/a b/j\xc3\xbc"'
    assert quoted('a"b\\c\nd') == r'"a\x22b\x5cc\x0ad"'
    assert quoted("") == '""'


def test_the_folder_of_the_state_is_private_where_it_is_the_stacks_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert Layout(folder).make_private()
    assert mode(folder) == 0o700
    (folder / "redis").mkdir()
    folder.chmod(0o755)
    assert Layout(folder).make_private()
    assert mode(folder) == 0o700
    (folder / "other").touch()
    assert Layout(folder).make_private(), "it is private already"


def test_the_mode_of_a_folder_with_other_files_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "redis").mkdir()
    (folder / "letters.txt").touch()
    assert not Layout(folder).make_private()
    assert mode(folder) == 0o755
    monkeypatch.setattr(layout, "STATE", folder)
    assert Layout(folder).make_private(), "the checkout's own, with jars and caches in it"
    assert mode(folder) == 0o700
