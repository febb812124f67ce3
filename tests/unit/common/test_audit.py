"""The audit log names who runs a command."""

import os
import pwd

import pytest

from services.common.audit import command_line_user


def test_a_user_without_an_account_is_named_by_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run with a user id that its /etc/passwd does not have."""

    def no_account(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_account)
    assert command_line_user() == f"uid {os.getuid()} by command line"


def test_an_account_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert command_line_user() == "ada by command line"
