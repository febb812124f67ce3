"""Erasing a customer over REST, and the audit log."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.common.audit import Action, Entry, entries
from services.common.erasure_list import KEY, read_erased
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.gateway.access.keys import KeyRing, new_key
from services.gateway.access.roles import Role
from tests.support.gateway_app import client_of, settings_of
from tests.support.polling import eventually

KEYS = {role: new_key(f"a {role}", role) for role in (Role.ADMIN, Role.ANALYST)}
CUSTOMER = "1515915625441993984/ä"
ADDRESS = "/v1/privacy/customers/1515915625441993984%2F%C3%A4"


def bearer(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[role][0]}"}


def write_keys(path: Path, *roles: Role) -> Path:
    listed = [{"name": KEYS[role][1].name, "role": role, "sha256": KEYS[role][1].sha256} for role in roles]
    path.write_text(json.dumps({"keys": listed}))
    return path


@pytest.fixture
def store(s3: S3Settings) -> Iterator[ObjectStore]:
    store = ObjectStore(s3)
    yield store
    store.close()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "keys.json", *KEYS)


@pytest.fixture
async def gateway(s3: S3Settings, keys: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of(**s3.model_dump(), api_keys_file=keys, probe_seconds=0.05)) as client:
        yield client


async def log_of(gateway: httpx.AsyncClient, **query: Any) -> list[Any]:
    answer = await gateway.get("/v1/privacy/audit", params=query, headers=bearer(Role.ADMIN))
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def test_an_admin_erases_a_customer(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    for _again in range(2):
        answer = await gateway.delete(ADDRESS, headers=bearer(Role.ADMIN))
        assert answer.status_code == 202, answer.text
    erased = read_erased(store)
    assert erased is not None
    assert CUSTOMER in erased
    assert len(erased) == 1
    newest, before = await log_of(gateway)
    assert newest["subject"] == before["subject"] == answer.json()["digest"]
    assert (newest["by"], newest["action"]) == ("a admin", "customer.erase")
    assert CUSTOMER not in json.dumps([newest, answer.json()], ensure_ascii=False)
    assert len(await log_of(gateway, limit=1)) == 1


async def test_only_an_admin_erases_and_reads_the_log(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    assert (await gateway.delete(ADDRESS, headers=bearer(Role.ANALYST))).status_code == 403
    assert (await gateway.get("/v1/privacy/audit", headers=bearer(Role.ANALYST))).status_code == 403
    assert read_erased(store) is None
    assert list(entries(store)) == []


async def test_a_damaged_list_is_not_replaced(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    store.put(KEY, b"{")
    answer = await gateway.delete(ADDRESS, headers=bearer(Role.ADMIN))
    assert (answer.status_code, store.get(KEY)) == (503, b"{")


async def test_without_the_bucket_nobody_is_erased(keys: Path) -> None:
    async with client_of(settings_of(api_keys_file=keys)) as gateway:
        assert (await gateway.delete(ADDRESS, headers=bearer(Role.ADMIN))).status_code == 503


async def test_changes_of_the_keys_are_in_the_log(gateway: httpx.AsyncClient, keys: Path, store: ObjectStore) -> None:
    write_keys(keys, Role.ADMIN)

    async def noted() -> list[Entry]:
        return list(entries(store))

    await eventually(noted, "the change is noted")
    (entry,) = await noted()
    assert (entry.action, entry.detail) == (Action.KEYS, "removed a analyst")
    assert "gateway" in entry.by
    assert (await gateway.get("/v1/users", headers=bearer(Role.ANALYST))).status_code == 401


async def test_a_change_is_noted_until_the_log_takes_it(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.json", Role.ADMIN)
    tried: list[str] = []

    async def note(changes: str) -> bool:
        tried.append(changes)
        return len(tried) > 1

    ring = KeyRing(path, note)
    await ring.refresh()
    assert tried == []
    write_keys(path, Role.ANALYST)
    for _ in range(3):
        await ring.refresh()
    assert tried == ["removed a admin; added a analyst (analyst)"] * 2
    assert ring.find(KEYS[Role.ADMIN][0]) is None, "a withdrawn key does not wait for the log"
