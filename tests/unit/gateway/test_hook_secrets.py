"""Secrets that sign webhooks."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from services.gateway.hooks.delivery import ShopSystem
from services.gateway.hooks.secrets import BadSecrets, HookSecrets
from tests.support.webhooks import signature

OLD, NEW, BODY = "an-old-secret-of-the-shop", "the-new-secret-of-the-shop", b'{"id": 1}'


def secrets_of(given: str | None = None, path: Path | None = None) -> HookSecrets:
    return HookSecrets(ShopSystem.SHOPIFY, SecretStr(given) if given is not None else None, path)


def test_the_signature_is_that_of_the_documentation() -> None:
    # Computed apart: printf '%s' '{"id": 1}' | openssl dgst -sha256 -hmac an-old-secret-of-the-shop -binary | base64
    known = "E1gD/cuiq/JyqSOAlH8j9Kh1YSmbVSwdPt2hRHgjtK8="
    assert secrets_of(OLD).have_signed(BODY, known)


def test_every_secret_signs_and_no_other() -> None:
    both = secrets_of(f"{OLD} {NEW}")
    assert both.have_signed(BODY, signature(BODY, OLD))
    assert both.have_signed(BODY, signature(BODY, NEW))
    assert not both.have_signed(BODY, signature(BODY, "some-other-secret"))
    assert not both.have_signed(BODY + b" ", signature(BODY, OLD))
    assert not secrets_of(NEW).have_signed(BODY, signature(BODY, OLD))


@pytest.mark.parametrize("given", ["", "=", "x", "not base64!", "Zm9v", "ä", signature(BODY, OLD)[:-4]])
def test_what_is_no_signature(given: str) -> None:
    assert not secrets_of(OLD).have_signed(BODY, given)


async def test_the_file_rotates(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text(f"{OLD}\n")
    found = secrets_of(None, path)
    path.write_text(f"{OLD}\n{NEW}\n")
    await found.refresh()
    assert found.have_signed(BODY, signature(BODY, NEW))
    path.write_text(f"{NEW}\n")
    await found.refresh()
    assert not found.have_signed(BODY, signature(BODY, OLD))
    path.unlink()
    await found.refresh()
    assert found.have_signed(BODY, signature(BODY, NEW)), "a missing file changes nothing"


@pytest.mark.parametrize(("content", "given"), [(None, None), ("", None), ("short", None), (OLD, "short")])
def test_secrets_that_are_none(tmp_path: Path, content: str | None, given: str | None) -> None:
    path = tmp_path / "secrets"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadSecrets, match="TILLSTREAM_SHOPIFY_SECRETS") as refused:
        secrets_of(given, path)
    assert "short" not in str(refused.value)
    assert OLD not in str(refused.value)


def test_without_any_the_hooks_are_off() -> None:
    assert not secrets_of()
    assert secrets_of(OLD)
