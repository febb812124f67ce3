"""Attempts to be somebody: forged, expired and guessed keys, tokens, sessions, and ids that look like names of ours."""

import base64
import json
import statistics
import time
from pathlib import Path

import httpx
import redis

from bench.attack.outcome import Attempts, Outcome, refused
from bench.attack.shop import Shop, exchange, request, statuses
from services.gateway.access.keys import KeyRing
from services.gateway.access.roles import Role

_TIMED_KEYS = 20_000
# Two medians of the same work differ by less.
_NOISE = 0.05


def forged_keys(shop: Shop) -> Outcome:
    """Bearers that nobody gave out: each from an address of its own, so that none is only slowed."""
    key = shop.keys[Role.ADMIN]
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "admin", "role": "admin"}).encode()).decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode()
    guesses = (shop.expired_key, f"{none}.{claims}.", key[:-1], key.upper(), f"{key} ", f"{key},{key}", "", "null", "*")
    found = []
    for number, guess in enumerate(guesses):
        if guess != f"{key} ":  # white space around a field's value is not part of it
            field = f"Authorization: Bearer {guess}"
            found += statuses(exchange(shop.port, request("GET", "/v1/users", field), f"127.0.0.{100 + number}"))
    found += statuses(exchange(shop.port, request("GET", "/v1/users", f"Authorization: Basic {key}"), "127.0.0.120"))
    found += statuses(exchange(shop.port, request("GET", f"/v1/users?key={key}&access_token={key}"), "127.0.0.121"))
    return refused(found, frozenset({401}))


def forged_tokens(shop: Shop) -> Outcome:
    """ID tokens that anybody could write: without a signature, expired, of another client; and a made up session."""
    outcomes = []
    for algorithm, claims in (
        ("none", {}),
        ("RS256", {"exp": 1}),
        ("RS256", {"aud": "another"}),
        ("RS256", {"iss": "http://evil.example"}),
        ("RS256", {"nonce": "another"}),
    ):
        shop.provider.algorithm, shop.provider.claims = algorithm, claims
        outcomes.append(_logged_in(shop))
    shop.provider.algorithm, shop.provider.claims = "RS256", {}
    honest = _logged_in(shop)
    made_up = httpx.get(f"{shop.page}/v1/users", headers={"Cookie": "tillstream-session=" + "A" * 43}).status_code
    held = not any(outcomes) and honest and made_up == 401
    return Outcome(held, f"{len(outcomes)} forged tokens: {sum(outcomes)} sessions; a made up session: {made_up}")


def _logged_in(shop: Shop) -> bool:
    with httpx.Client(base_url=shop.page, timeout=60) as client:
        asked = client.get("/v1/session/login")
        client.get(shop.provider.approve(asked.headers["location"], "anna"))
        return bool(client.get("/v1/session").json()["role"])


def guessing(shop: Shop) -> Outcome:
    """Many keys from one address: it is slowed, and an honest key from there is not."""
    source = "127.0.0.130"
    found = [
        statuses(exchange(shop.port, request("GET", "/v1/users", f"Authorization: Bearer guess-{number}"), source))[0]
        for number in range(30)
    ]
    honest = f"Authorization: Bearer {shop.keys[Role.ADMIN]}"
    answered = statuses(exchange(shop.port, request("GET", "/v1/users", honest), source))
    shown = f"{found.count(401)} × 401, {found.count(429)} × 429, an honest key {answered}"
    return Outcome(slowed(found) and answered == [200], shown)


def slowed(found: list[int]) -> bool:
    """Whether a few guesses were refused, and the others not even looked at."""
    return set(found) == {401, 429} and found.count(401) <= 10


def timing(shop: Shop) -> Outcome:
    """Whether a guess that begins like a key takes longer than one that does not."""
    ring = KeyRing(Path(shop.stack.layout.root).parent / "keys.json")
    key = shop.keys[Role.ADMIN]
    near, far = f"{key[:-1]}~", "~" * len(key)
    seconds: dict[str, list[float]] = {near: [], far: []}
    for number in range(_TIMED_KEYS):
        for guess in (near, far) if number % 2 else (far, near):
            began = time.perf_counter_ns()
            ring.find(guess)
            seconds[guess].append(time.perf_counter_ns() - began)
    close, away = (statistics.median(each) for each in seconds.values())
    return Outcome(abs(close / away - 1) < _NOISE, f"medians {close:.0f} and {away:.0f} ns: looked up by hash")


def ids_as_names(shop: Shop) -> Outcome:
    """Customers, products and orders that are called like keys of Redis, patterns or hash tags."""
    names = ["*", "tillstream:live", "{0}", "x}{y", "__proto__", "a\u202eb", "../../x", "' OR 1=1--", "%s%n", "$(id)"]
    events = [
        {"event_time": "2020-04-24T11:50:39Z", "order_id": f"{name} {number}", "product_id": name, "user_id": name,
         "price": "1.00", "event_id": "1", "category_code": "a.b"}
        for number, name in enumerate(names)
    ]  # fmt: skip
    url = shop.valkey.url
    with redis.Redis.from_url(url) as client:
        before = {key.split(b":")[0] for key in client.scan_iter()}
        live = client.get("tillstream:live")
        sent = httpx.post(f"{shop.page}/v1/events", json=events, headers=shop.bearer(Role.SENDER), timeout=60).json()
        known = _customers_when(shop, sent["accepted"])
        added = {key.split(b":")[0] for key in client.scan_iter()} - before
        held = client.get("tillstream:live") == live and not added
    return Outcome(held and known == sent["accepted"], f"{known} of {len(names)} are customers; no key is new")


def _customers_when(shop: Shop, expected: int) -> int:
    deadline = time.monotonic() + 60
    while True:
        found = httpx.get(f"{shop.page}/v1/users?limit=100", headers=shop.bearer(Role.ANALYST)).json()
        if len(found) >= expected or time.monotonic() > deadline:
            return len(found)
        time.sleep(0.2)


KEY_ATTEMPTS: Attempts = {
    "forged, expired and misplaced keys": forged_keys,
    "forged ID tokens and sessions": forged_tokens,
    "guessing keys": guessing,
    "timing of the key's check": timing,
    "ids that look like names of ours": ids_as_names,
}
