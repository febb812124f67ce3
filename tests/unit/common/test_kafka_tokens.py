"""Tokens from a file: the newest one is sent, and none that has expired."""

import asyncio
import base64
import json
import time
from pathlib import Path

import pytest
from aiokafka.errors import AuthenticationFailedError

from services.common.kafka import FileTokenProvider


def asked(file: Path) -> str:
    return asyncio.run(FileTokenProvider(file).token())


def web_token(**claims: object) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "token"


def test_the_file_is_read_for_each_connection(file: Path) -> None:
    provider = FileTokenProvider(file)
    for token in (web_token(exp=time.time() + 60), web_token(exp=time.time() + 120, jti="2")):
        file.write_text(f"{token}\n")
        assert asyncio.run(provider.token()) == token


@pytest.mark.parametrize("left_s", [-1, 3], ids=["expired", "about to"])
def test_an_expired_token_is_not_sent(file: Path, left_s: float) -> None:
    """Nor one that would expire on its way to the broker."""
    file.write_text(web_token(exp=time.time() + left_s))
    with pytest.raises(AuthenticationFailedError, match="has expired") as refused:
        asked(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    "token",
    ["opaque", "a.b.c", web_token(sub="till"), web_token(exp="soon"), web_token(exp=None), "e30.W10."],
    ids=["opaque", "no JSON", "no expiry", "a word", "null", "a list"],
)
def test_what_has_no_expiry_is_sent_as_it_is(file: Path, token: str) -> None:
    file.write_text(token)
    assert asked(file) == token


def test_no_file_is_an_error_like_a_broker_that_is_away(file: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        asked(file)
