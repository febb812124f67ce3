"""Who may ask for what: API keys, roles, and the refusal to serve everybody by mistake."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request

from services.gateway.access import __main__ as key_command
from services.gateway.access.failures import Failures
from services.gateway.access.keys import BadKeys, KeyRing, digest, new_key, read_keys
from services.gateway.access.roles import Role
from services.gateway.access.route import guarded_router
from services.gateway.app import create_app
from tests.support.gateway_app import client_of, settings_of

VIEWERS = {"viewer", "analyst", "admin"}
ANALYSTS = {"analyst", "admin"}
EVERYBODY = {"viewer", "analyst", "sender", "recommend", "admin"}
# Written down by hand: a route that gives more than it should differs from it.
ROLES = {
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /metrics": None,
    "GET /v1/session": None,  # says who asks
    "GET /v1/session/login": None,
    "GET /v1/session/callback": None,  # the provider's code says who comes
    "DELETE /v1/session": EVERYBODY,
    "GET /v1/clock": EVERYBODY,
    "GET /v1/config": EVERYBODY,
    "GET /v1/system": VIEWERS,
    "GET /v1/system/runbook/{alert}": VIEWERS,
    "GET /v1/stats/summary": VIEWERS,
    "GET /v1/stats/sales": VIEWERS,
    "GET /v1/stats/pulse": VIEWERS,
    "GET /v1/stats/dead-letters": VIEWERS,
    "GET /v1/stats/top/{board}": VIEWERS,
    "GET /v1/stats/reconciliation": VIEWERS,
    "GET /v1/stats/stream": VIEWERS,  # without persons for a viewer
    "GET /v1/users": ANALYSTS,
    "GET /v1/users/{user_id}": ANALYSTS,
    "GET /v1/users/{user_id}/recommendations": ANALYSTS | {"recommend"},
    "POST /v1/recommendations": ANALYSTS | {"recommend"},
    "GET /v1/products": VIEWERS,
    "GET /v1/products/{product_id}": VIEWERS,
    "GET /v1/products/{product_id}/similar": VIEWERS | {"recommend"},
    "GET /v1/products/{product_id}/sales": VIEWERS,
    "PUT /v1/products/{product_id}": {"sender", "admin"},
    "DELETE /v1/products/{product_id}": {"sender", "admin"},
    "POST /v1/products": {"sender", "admin"},
    "POST /v1/events": {"sender", "admin"},
    "POST /v1/hooks/{shop_system}": None,  # signed by the shop system
    "GET /v1/models": VIEWERS,
    "POST /v1/models/{version}/activate": {"admin"},
    "DELETE /v1/privacy/customers/{user_id}": {"admin"},
    "GET /v1/privacy/audit": {"admin"},
}
ADMIN_TOKEN = "the-token-of-the-admin"
KEYS = {role: new_key(f"a {role}", role) for role in Role}
ENDLESS = "GET /v1/stats/stream"


def write_keys(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"keys": entries}))
    return path


def entry(role: Role, **given: Any) -> dict[str, Any]:
    _key, of_role = KEYS[role]
    return {"name": of_role.name, "role": role, "sha256": of_role.sha256, **given}


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "keys.json", *map(entry, Role))


@pytest.fixture
async def gateway(keys_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of(api_keys_file=keys_file, admin_token=ADMIN_TOKEN)) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def status(gateway: httpx.AsyncClient, operation: str, headers: dict[str, str]) -> int:
    method, path = operation.split(" ")
    path = path.replace("{board}", "products").replace("{", "").replace("}", "")
    return (await gateway.request(method, path, headers=headers)).status_code


def test_the_document_names_the_roles_of_every_route() -> None:
    document = create_app(settings_of()).openapi()
    found = {
        f"{method.upper()} {path}": set(operation["x-roles"]) or None
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert found == ROLES


def test_a_route_without_a_declaration_is_a_mistake_at_the_start() -> None:
    async def endpoint(request: Request) -> None: ...

    with pytest.raises(TypeError, match=r"/v1/new does not declare"):
        guarded_router().get("/v1/new")(endpoint)


async def test_every_route_answers_its_roles_alone(gateway: httpx.AsyncClient) -> None:
    for operation, roles in ROLES.items():
        for role, (key, _entry) in KEYS.items():
            allowed = roles is None or role in roles
            if operation == ENDLESS and allowed:
                continue
            found = await status(gateway, operation, bearer(key))
            assert (found not in (401, 403)) == allowed, f"{operation} for {role}: {found}"


async def test_without_a_key_only_probes_are_answered(gateway: httpx.AsyncClient) -> None:
    for operation, roles in ROLES.items():
        found = await status(gateway, operation, {})
        assert (found == 401) == (roles is not None), f"{operation}: {found}"


async def test_customers_in_a_ranking_are_persons(gateway: httpx.AsyncClient) -> None:
    spenders = "/v1/stats/top/spenders"
    assert (await gateway.get(spenders, headers=bearer(KEYS[Role.VIEWER][0]))).status_code == 403
    assert (await gateway.get(spenders, headers=bearer(KEYS[Role.ANALYST][0]))).status_code == 503  # no Redis here


async def test_the_admins_token_is_a_key_too(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/v1/config", headers=bearer(ADMIN_TOKEN))).status_code == 200
    assert (await gateway.get("/v1/users", headers=bearer(ADMIN_TOKEN))).status_code == 503


@pytest.mark.parametrize("given", ["Bearer", "Bearer till_wrong", "Basic eDp5", "Bearer ä", f"bearer  x{ADMIN_TOKEN}"])
async def test_a_wrong_key_is_refused(gateway: httpx.AsyncClient, given: str) -> None:
    answer = await gateway.get("/v1/config", headers={b"Authorization": given.encode()})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_the_stored_hash_is_no_key(gateway: httpx.AsyncClient) -> None:
    stored = KEYS[Role.ADMIN][1].sha256
    assert (await gateway.get("/v1/config", headers=bearer(stored))).status_code == 401


async def test_the_key_comes_before_the_body(gateway: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    headers = {**bearer(KEYS[Role.VIEWER][0]), "Content-Type": "application/json"}
    for path in ("/v1/events", "/v1/recommendations", "/v1/models/v1/activate"):
        assert (await gateway.post(path, headers=headers, content=body())).status_code == 403


async def test_answers_are_not_stored(gateway: httpx.AsyncClient) -> None:
    key = bearer(KEYS[Role.ADMIN][0])
    for path in ("/v1/users/42/recommendations", "/v1/users/42", "/v1/stats/summary", "/v1/nothing", "/v1/config"):
        assert (await gateway.get(path, headers=key)).headers["cache-control"] == "private, no-store"


async def test_many_wrong_keys_are_slowed_and_the_right_one_is_not(
    gateway: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [await gateway.get("/v1/config", headers=bearer(f"guess-{number}")) for number in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert len([record for record in caplog.records if "wrong credentials" in record.message]) == 10
    assert "guess" not in caplog.text
    assert (await gateway.get("/v1/config", headers=bearer(KEYS[Role.VIEWER][0]))).status_code == 200


def test_wrong_keys_are_counted_by_address_and_minute() -> None:
    now = 100.0
    failures = Failures(lambda: now)
    assert [failures.count("a") for _wrong in range(11)] == [None] * 10 + [61]
    assert failures.count("b") is None
    now += 60
    assert failures.count("a") is None


async def test_keys_rotate_while_the_gateway_runs(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.json", entry(Role.VIEWER))
    ring = KeyRing(path)
    viewer, analyst = KEYS[Role.VIEWER][0], KEYS[Role.ANALYST][0]
    write_keys(path, entry(Role.VIEWER), entry(Role.ANALYST))
    await ring.refresh()
    assert ring.find(viewer) is not None
    assert ring.find(analyst) is not None
    write_keys(path, entry(Role.ANALYST))
    await ring.refresh()
    assert ring.find(viewer) is None
    path.write_text("{")
    await ring.refresh()
    assert ring.find(analyst) is not None, "a damaged file changes nothing"


def test_a_key_expires(tmp_path: Path) -> None:
    key = KEYS[Role.VIEWER][0]
    path = tmp_path / "keys.json"
    assert KeyRing(write_keys(path, entry(Role.VIEWER, expires="2020-01-01T00:00:00Z"))).find(key) is None
    assert KeyRing(write_keys(path, entry(Role.VIEWER, expires="2999-01-01T00:00:00Z"))).find(key) is not None


def test_a_key_brings_its_own_limit(tmp_path: Path) -> None:
    ring = KeyRing(write_keys(tmp_path / "keys.json", entry(Role.RECOMMEND, requests_per_minute=5), entry(Role.VIEWER)))
    found = [ring.find(KEYS[role][0]) for role in (Role.RECOMMEND, Role.VIEWER)]
    assert [each and each.requests_per_minute for each in found] == [5, None]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[]",
        json.dumps({"keys": [{"name": "a", "role": "owner", "sha256": "0" * 64}]}),
        json.dumps({"keys": [{"name": "a", "role": "admin", "sha256": "till_a-key-and-no-hash"}]}),
        json.dumps({"keys": [{"name": "a", "role": "admin", "sha256": "0" * 64, "expires": "2030-01-01T00:00:00"}]}),
        json.dumps({"keys": [{"name": "a", "role": "admin", "sha256": "0" * 64, "requests_per_minute": 0}]}),
        json.dumps({"keys": [{"name": "a", "role": "admin", "sha256": "0" * 64}] * 2}),
    ],
)
def test_a_file_that_is_no_list_of_keys(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadKeys, match="TILLSTREAM_API_KEYS_FILE") as refused:
        read_keys(path)
    assert "till_" not in str(refused.value)


def test_the_command_makes_a_key_and_its_entry(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert key_command.main(["webshop", "recommend"]) == 0
    printed = capsys.readouterr()
    key = printed.out.strip()
    assert len(key) >= 40
    assert json.loads(printed.err)["sha256"] == digest(key)
    assert key not in printed.err
    found = KeyRing(write_keys(tmp_path / "keys.json", json.loads(printed.err))).find(key)
    assert found is not None
    assert (found.name, found.role) == ("webshop", Role.RECOMMEND)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])
def test_other_addresses_than_loopback_need_keys_or_a_decision(host: str, keys_file: Path) -> None:
    with pytest.raises(ValueError, match="TILLSTREAM_API_KEYS_FILE"):
        settings_of(host=host)
    settings_of(host=host, api_keys_file=keys_file)
    settings_of(host=host, gateway_open=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
async def test_loopback_is_open_but_for_the_admin(host: str) -> None:
    async with client_of(settings_of(host=host, admin_token=ADMIN_TOKEN)) as gateway:
        assert (await gateway.get("/v1/config")).status_code == 200
        assert (await gateway.post("/v1/models/v1/activate")).status_code == 401
