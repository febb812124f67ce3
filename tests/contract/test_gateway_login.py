"""The login of the page: OpenID Connect at a real provider, sessions in a real Redis."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from joserfc.jwk import OctKey, RSAKey

from services.gateway.access import failures
from services.gateway.access.keys import new_key
from services.gateway.access.roles import Role
from services.gateway.app import create_app
from services.gateway.login import provider as login_provider
from services.gateway.login.flow import local_path
from services.gateway.settings import GatewaySettings
from tests.support.gateway_app import AWAY, client_of, settings_of
from tests.support.gateway_tables import SHOP, TableWriter
from tests.support.metrics import gauge, growth
from tests.support.oidc_provider import CLIENT_SECRET, Provider, login_settings, serving_provider
from tests.support.polling import eventually

PAGE = "http://localhost"
SESSION = "tillstream-session"


@pytest.fixture(scope="module")
def at() -> Iterator[Provider]:
    with serving_provider() as provider:
        yield provider


@pytest.fixture
def provider(at: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """As it was before another test changed it. It may answer slowly, for it shares a busy machine with the gateway."""
    monkeypatch.setattr(login_provider, "_TIMEOUT_SECONDS", 60.0)
    before = dict(vars(at))
    yield at
    vars(at).update(before, claims={})


@asynccontextmanager
async def gateway_of(provider: Provider, redis_url: str, **given: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_of(**login_settings(provider, PAGE) | {"redis_url": redis_url, "probe_seconds": 0.05} | given)
    async with client_of(settings) as client:
        yield client


@pytest.fixture
async def gateway(provider: Provider, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_of(provider, redis_url) as client:
        yield client


async def begin(gateway: httpx.AsyncClient, path: str = "/") -> str:
    answer = await gateway.get("/v1/session/login", params={"path": path})
    assert answer.status_code == 303
    return answer.headers["location"]


async def log_in(
    gateway: httpx.AsyncClient, provider: Provider, person: str = "anna", path: str = "/"
) -> httpx.Response:
    return await gateway.get(provider.approve(await begin(gateway, path), person))


async def who(gateway: httpx.AsyncClient) -> Any:
    return (await gateway.get("/v1/session")).json()


@pytest.mark.parametrize(("person", "role"), [("vera", "viewer"), ("anna", "analyst"), ("olga", "admin")])
async def test_a_person_logs_in_with_the_role_of_their_groups(
    gateway: httpx.AsyncClient, provider: Provider, person: str, role: str
) -> None:
    assert await who(gateway) == {"closed": True, "login": True, "name": None, "role": None, "may": ["public"]}
    assert (await gateway.get("/v1/config")).status_code == 401
    done = await log_in(gateway, provider, person, "/sales?from=2020-01-01#top")
    assert (done.status_code, done.headers["location"]) == (303, "/sales?from=2020-01-01#top")
    found = await who(gateway)
    assert (found["name"], found["role"]) == (f"{person}@shop.example", role)
    assert ("persons" in found["may"], "admin" in found["may"]) == (role != "viewer", role == "admin")
    assert (await gateway.get("/v1/config")).status_code == 200
    assert (await gateway.get("/v1/users")).status_code == (403 if role == "viewer" else 200)


async def test_the_cookies_are_for_the_page_alone(gateway: httpx.AsyncClient, provider: Provider) -> None:
    asked = await gateway.get("/v1/session/login")
    assert "HttpOnly; Max-Age=600; Path=/; SameSite=Lax" in asked.headers["set-cookie"]
    done = await gateway.get(provider.approve(asked.headers["location"], "anna"))
    session, attempt = done.headers.get_list("set-cookie")
    assert session.startswith(f"{SESSION}=")
    assert session.endswith("; HttpOnly; Max-Age=28800; Path=/; SameSite=Strict")
    assert attempt.startswith("tillstream-login=; HttpOnly; Max-Age=0")
    assert done.headers["cache-control"] == "private, no-store"


async def test_over_https_the_cookies_are_bound_to_the_host(provider: Provider, redis_url: str) -> None:
    async with gateway_of(provider, redis_url, page_url="https://localhost") as gateway:
        asked = await gateway.get("/v1/session/login")
        assert asked.headers["set-cookie"].startswith("__Host-tillstream-login=")
        assert asked.headers["set-cookie"].endswith("; Secure")
        assert "redirect_uri=https%3A%2F%2Flocalhost%2Fv1%2Fsession%2Fcallback" in asked.headers["location"]


async def test_redis_learns_no_token(gateway: httpx.AsyncClient, provider: Provider, redis_url: str) -> None:
    await log_in(gateway, provider)
    token = gateway.cookies[SESSION]
    assert len(token) >= 43
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys("tillstream:session:*")
        stored = client.get(key)
        assert 28_700 < client.ttl(key) <= 28_800
    assert token not in f"{key!r} {stored!r}"


async def failed(gateway: httpx.AsyncClient, url: str, outcome: str) -> None:
    """The answer of the provider leads back to the page, without a session."""
    counted = growth("gateway_logins_total", outcome=outcome)
    answer = await gateway.get(url)
    assert counted() == 1
    assert (answer.status_code, answer.headers["location"]) == (303, f"/?login={outcome}")
    assert SESSION not in gateway.cookies
    assert (await who(gateway))["name"] is None


async def test_a_wrong_state_is_refused(gateway: httpx.AsyncClient, provider: Provider) -> None:
    url = provider.approve(await begin(gateway), "anna")
    await failed(gateway, url + "x", "expired")
    await failed(gateway, url, "expired")  # the attempt ended


async def test_an_answer_for_another_browser_is_refused(
    gateway: httpx.AsyncClient, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    url = provider.approve(await begin(gateway), "olga")
    gateway.cookies.clear()
    await failed(gateway, url, "expired")
    assert "login from" in caplog.text
    assert url.partition("code=")[2].partition("&")[0] not in caplog.text


async def test_a_code_counts_once(gateway: httpx.AsyncClient, provider: Provider) -> None:
    url = provider.approve(await begin(gateway), "anna")
    cookies = dict(gateway.cookies)
    assert (await gateway.get(url)).headers["location"] == "/"
    gateway.cookies.clear()
    gateway.cookies.update(cookies)
    await failed(gateway, url, "refused")


async def test_a_code_of_another_attempt_is_refused(gateway: httpx.AsyncClient, provider: Provider) -> None:
    stolen = provider.approve(await begin(gateway), "olga")
    own = provider.approve(await begin(gateway), "anna")
    code = stolen.partition("code=")[2].partition("&")[0]
    await failed(gateway, own.replace(own.partition("code=")[2].partition("&")[0], code), "refused")


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another attempt"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": ["another client", "tillstream"], "azp": "another client"},
        {"iss": "https://another.example"},
        {"exp": 1_600_000_000},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"sub": None},
        {"at_hash": "of-another-token"},
    ],
    ids=lambda claims: " ".join(f"{name} {value}" for name, value in claims.items()),
)
async def test_a_token_that_does_not_hold_is_refused(provider: Provider, claims: dict[str, Any]) -> None:
    provider.claims = claims
    await refused(provider)


async def test_a_token_of_another_key_is_refused(provider: Provider) -> None:
    provider.key = RSAKey.generate_key(2048, {"kid": "first"})
    await refused(provider)


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
async def test_a_token_that_anybody_could_sign_is_refused(provider: Provider, algorithm: str) -> None:
    public = provider.keys()["keys"][0]["n"]  # as the secret of an HMAC
    provider.key = OctKey.import_key({"kty": "oct", "k": public, "kid": "first"})
    provider.algorithm = algorithm
    await refused(provider)


async def test_a_verifier_of_another_attempt_is_refused(provider: Provider) -> None:
    await refused(provider, verifier="w" * 43)


async def refused(provider: Provider, verifier: str = "v" * 43) -> None:
    client = login_provider.Provider(GatewaySettings(**login_settings(provider, PAGE)), f"{PAGE}/v1/session/callback")
    try:
        url = httpx.URL(provider.approve(await client.login_url("state", "nonce", "v" * 43), "olga"))
        with pytest.raises(login_provider.Refused):
            await client.person(url.params["code"], "nonce", verifier)
    finally:
        await client.close()


async def test_the_provider_may_change_its_key(gateway: httpx.AsyncClient, provider: Provider) -> None:
    assert (await log_in(gateway, provider)).headers["location"] == "/"
    provider.key = RSAKey.generate_key(2048, {"kid": "second"})
    provider.published = [*provider.published, provider.key]
    assert (await log_in(gateway, provider)).headers["location"] == "/"


async def test_keys_of_unknown_kinds_are_passed_over(gateway: httpx.AsyncClient, provider: Provider) -> None:
    provider.others = [
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "curve"},
        {"kty": "OKP", "crv": "X999", "x": "AA", "kid": "curve of another kind"},
        {"kty": "EC", "kid": "incomplete"},
        {"kty": "ML-DSA", "kid": "kind"},
    ]
    assert (await log_in(gateway, provider)).headers["location"] == "/"


async def test_without_a_key_that_can_be_used_nobody_comes_in(provider: Provider) -> None:
    provider.published = []
    provider.others = [{"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "first"}]
    await refused(provider)


async def test_a_person_without_a_role_does_not_come_in(gateway: httpx.AsyncClient, provider: Provider) -> None:
    await failed(gateway, provider.approve(await begin(gateway), "gert"), "no_role")
    provider.claims = {"groups": {"owners": True}}
    await failed(gateway, provider.approve(await begin(gateway), "olga"), "no_role")


async def test_the_provider_or_the_person_may_say_no(gateway: httpx.AsyncClient, provider: Provider) -> None:
    state = httpx.URL(await begin(gateway)).params["state"]
    await failed(gateway, f"/v1/session/callback?error=access_denied&state={state}", "denied")
    state = httpx.URL(await begin(gateway)).params["state"]
    await failed(gateway, f"/v1/session/callback?code=a&state={state}&iss=https://another.example", "refused")


async def test_without_the_provider_nobody_logs_in_and_sessions_go_on(
    gateway: httpx.AsyncClient, provider: Provider, redis_url: str
) -> None:
    await log_in(gateway, provider)
    provider.status = 503
    async with gateway_of(provider, redis_url, oidc_issuer=f"http://{AWAY}") as other:
        await failed(other, "/v1/session/login", "away")
        other.cookies.update(gateway.cookies)
        assert (await who(other))["role"] == "analyst"
    async with gateway_of(provider, redis_url) as other:
        await failed(other, "/v1/session/login", "away")


async def test_a_provider_of_another_name_is_none(provider: Provider, redis_url: str) -> None:
    async with gateway_of(
        provider, redis_url, oidc_issuer=provider.issuer.replace("127.0.0.1", "localhost")
    ) as gateway:
        await failed(gateway, "/v1/session/login", "away")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/customers/15%2F9?tab=1", "/customers/15%2F9?tab=1"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/a\r\nSet-Cookie: b=c", "/"),
        ("javascript:alert(1)", "/"),
        ("/v1/session/login", "/"),
        ("", "/"),
        ("/" + "a" * 600, "/"),
    ],
)
def test_a_login_leads_to_the_page_only(given: str, path: str) -> None:
    assert local_path(given) == path


async def test_failed_logins_are_slowed_by_address(
    gateway: httpx.AsyncClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_WINDOW_SECONDS", 3_600.0)  # ten logins take their time on a busy machine
    for _ in range(10):
        state = httpx.URL(await begin(gateway)).params["state"]
        await failed(gateway, f"/v1/session/callback?code=guess&state={state}", "refused")
    before = len(provider.asked)
    url = provider.approve(await begin(gateway), "anna")
    await failed(gateway, url, "too_many")
    assert "/token" not in provider.asked[before:]


async def test_answers_without_an_attempt_lock_nobody_out(gateway: httpx.AsyncClient, provider: Provider) -> None:
    for _ in range(12):
        await failed(gateway, "/v1/session/callback?code=guess&state=guess", "expired")
    assert (await log_in(gateway, provider)).headers["location"] == "/"


async def test_a_logout_counts_on_every_replica(gateway: httpx.AsyncClient, provider: Provider, redis_url: str) -> None:
    await log_in(gateway, provider)
    async with gateway_of(provider, redis_url) as other:
        other.cookies.update(gateway.cookies)
        assert (await who(other))["role"] == "analyst"
        answer = await gateway.delete("/v1/session", headers={"Origin": PAGE})
        assert answer.status_code == 204
        assert "tillstream-session=;" in answer.headers["set-cookie"]
        assert (await who(other))["role"] is None
        assert (await other.get("/v1/config")).status_code == 401


async def test_a_stream_ends_with_its_session(gateway: httpx.AsyncClient, provider: Provider, redis_url: str) -> None:
    await log_in(gateway, provider)
    stream = asyncio.create_task(gateway.get("/v1/stats/stream"))
    await stream_is_open()
    async with gateway_of(provider, redis_url) as other:
        other.cookies.update(gateway.cookies)
        await other.delete("/v1/session", headers={"Origin": PAGE})
    async with asyncio.timeout(120):
        assert (await stream).text.endswith('event: end\ndata: {"reason":"the session or the key has ended"}\n\n')


@pytest.mark.parametrize(("person", "sees_persons"), [("vera", False), ("anna", True)])
async def test_a_stream_names_customers_to_who_may_see_them(
    provider: Provider, redis_url: str, person: str, sees_persons: bool
) -> None:
    writer = TableWriter(redis_url)
    writer.write(SHOP)
    customers = {line.user_id for line in SHOP if line.user_id is not None}
    try:
        async with gateway_of(provider, redis_url) as gateway:
            await log_in(gateway, provider, person)
            stream = asyncio.create_task(gateway.get("/v1/stats/stream"))
            await stream_is_open()
            writer.write(SHOP[:1])
            await gateway.delete("/v1/session", headers={"Origin": PAGE})
            async with asyncio.timeout(120):
                seen = (await stream).text
    finally:
        writer.close()
    assert "event: snapshot" in seen
    assert '"products":[{' in seen
    assert ('"spenders"' in seen) == sees_persons
    assert {customer for customer in customers if customer in seen} == (customers if sees_persons else set())


async def stream_is_open() -> None:
    await eventually(lambda: gauge("gateway_stream_clients"), "the stream is open")


async def test_a_new_login_ends_the_session_before(
    gateway: httpx.AsyncClient, provider: Provider, redis_url: str
) -> None:
    await log_in(gateway, provider, "anna")
    url = provider.approve(await begin(gateway), "vera")
    token = gateway.cookies[SESSION]
    assert token not in base64.b64decode(gateway.cookies["tillstream-login"] + "==", "-_").decode()
    gateway.cookies.delete(SESSION)  # SameSite=Strict: the way back comes from another site
    assert (await gateway.get(url)).headers["location"] == "/"
    with redis.Redis.from_url(redis_url) as client:
        assert len(client.keys("tillstream:session:*")) == 1


async def test_a_session_ends_by_itself(provider: Provider, redis_url: str) -> None:
    async with gateway_of(provider, redis_url, session_hours=1 / 3600) as gateway:
        await log_in(gateway, provider)
        cookies = {SESSION: gateway.cookies[SESSION]}
        gateway.cookies.clear()
        gateway.cookies.update(cookies)

        async def is_over() -> bool:
            return (await gateway.get("/v1/config")).status_code == 401

        await eventually(is_over, "the session is over")


async def test_another_site_changes_nothing_with_the_session(gateway: httpx.AsyncClient, provider: Provider) -> None:
    await log_in(gateway, provider, "olga")
    for origin in (None, "null", "https://localhost", "http://localhost:81", "http://evil.example"):
        headers = {} if origin is None else {"Origin": origin}
        for method, path in unsafe_routes():
            answer = await gateway.request(method, path, headers=headers)
            assert answer.status_code == 403, f"{method} {path} from {origin}"
            assert "Origin" in answer.json()["detail"]
    assert (await who(gateway))["role"] == "admin"


@cache
def unsafe_routes() -> list[tuple[str, str]]:
    """Those that a session could change something with."""
    paths = create_app(settings_of()).openapi()["paths"]
    return [
        (method.upper(), path.replace("{version}", "v1").replace("{", "").replace("}", ""))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if method != "get" and operation["x-roles"]
    ]


async def test_a_key_counts_next_to_the_login(provider: Provider, redis_url: str, tmp_path: Path) -> None:
    key, entry = new_key("a till", Role.SENDER)
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"name": entry.name, "role": entry.role, "sha256": entry.sha256}]}))
    async with gateway_of(provider, redis_url, api_keys_file=path) as gateway:
        bearer = {"Authorization": f"Bearer {key}"}
        assert (await gateway.get("/v1/session", headers=bearer)).json()["role"] == "sender"
        assert (await gateway.post("/v1/events", headers=bearer, json=[])).status_code == 422  # no Origin is needed
        await log_in(gateway, provider, "olga")
        assert (await gateway.get("/v1/system", headers=bearer)).status_code == 403, "the key decides, not the session"


async def test_the_secret_is_read_from_its_file_at_each_login(
    provider: Provider, redis_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text("an old one")
    given = {"oidc_client_secret": None, "oidc_client_secret_file": path}
    async with gateway_of(provider, redis_url, **given) as gateway:
        await failed(gateway, provider.approve(await begin(gateway), "anna"), "refused")
        path.write_text(f"{CLIENT_SECRET}\n")
        assert (await log_in(gateway, provider)).headers["location"] == "/"


@pytest.mark.parametrize("cluster", [False, True], ids=["server", "cluster"])
async def test_without_redis_a_session_is_no_reason_to_let_anybody_in(
    provider: Provider, cluster: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway_of(provider, f"redis://{AWAY}/0", redis_cluster=cluster) as gateway:
        await failed_away(gateway, provider)
        gateway.cookies.set(SESSION, "guess")
        assert (await gateway.get("/v1/config")).status_code == 503
    assert "Traceback" not in caplog.text


async def failed_away(gateway: httpx.AsyncClient, provider: Provider) -> None:
    answer = await log_in(gateway, provider)
    assert answer.headers["location"] == "/?login=away"


async def test_open_on_loopback_anybody_may_see_all_but_change_nothing_of_the_admin() -> None:
    async with client_of(settings_of()) as gateway:
        found = await who(gateway)
        assert (found["closed"], found["login"], found["role"]) == (False, False, None)
        assert set(found["may"]) >= {"figures", "persons", "recommendations"}
        assert "admin" not in found["may"]
        assert (await gateway.get("/v1/session/login")).status_code == 404


async def test_open_a_proxy_s_own_credentials_are_nobody_s_wrong_key() -> None:
    wrong = growth("gateway_wrong_keys_total")
    async with client_of(settings_of()) as gateway:
        answer = await gateway.get("/v1/session", headers={"Authorization": "Basic c2hvcDpzaG9w"})
    assert (answer.status_code, answer.json()["role"], wrong()) == (200, None, 0)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"oidc_client_id": ""}, "TILLSTREAM_OIDC_CLIENT_ID"),
        ({"oidc_client_secret": None}, "TILLSTREAM_OIDC_CLIENT_SECRET_FILE"),
        ({"oidc_roles": ""}, "TILLSTREAM_OIDC_ROLES"),
        ({"oidc_roles": "tills=sender"}, "viewer, analyst or admin"),
        ({"oidc_roles": "staff"}, "oidc_roles"),
        ({"page_url": None}, "TILLSTREAM_PAGE_URL"),
        ({"page_url": "http://shop.example"}, "https"),
        ({"oidc_issuer": "http://login.example"}, "https"),
        ({"page_url": "https://shop.example"}, "TILLSTREAM_GATEWAY_HOSTS must have shop.example"),
        ({"session_hours": 100}, "session_hours"),
    ],
    ids=lambda given: " ".join(f"{name}={value}" for name, value in given.items()) if isinstance(given, dict) else "",
)
def test_a_login_that_is_not_complete_is_a_mistake_at_the_start(given: dict[str, Any], named: str) -> None:
    settings: dict[str, Any] = {
        "oidc_issuer": "https://login.example",
        "oidc_client_id": "a",
        "oidc_client_secret": "b",
        "oidc_roles": '{"staff, all": "analyst"}',
        "page_url": "https://localhost",
    }
    GatewaySettings(**settings)
    with pytest.raises(ValueError, match=named):
        GatewaySettings(**settings | given)


def test_a_login_closes_the_gateway() -> None:
    settings = login_settings(Provider(), PAGE) | {"oidc_issuer": "https://login.example"}
    settings_of(host="0.0.0.0", **settings)
