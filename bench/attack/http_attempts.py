"""Attempts over HTTP: what a request may smuggle, reach, forge or leave behind."""

import gzip
import json
import re
import socket
import zlib

import httpx

from bench.attack.outcome import Attempts, Outcome, refused
from bench.attack.shop import Shop, exchange, request, statuses
from local.ports import LOOPBACK
from services.gateway.access.roles import Role

_BAD = frozenset({400})
_REFUSED = frozenset({400, 401, 403, 404, 405, 413, 415, 422, 429, 431})
_EVIL = "evil.example"
_MIB = 1024 * 1024
# A fetch in the background would have begun by then.
_FETCH_S = 5.0
_SMUGGLED = b"GET /v1/users HTTP/1.1\r\nHost: localhost\r\n\r\n"
_FRAMINGS = (
    ("Content-Length: 4", "Content-Length: 0"),
    ("Content-Length: 0", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: xchunked",),
    ("Transfer-Encoding: chunked, identity",),
    ("Transfer-Encoding : chunked",),
    ("Content-Length: +0",),
    ("Content-Length: 0x0",),
)
_PATHS = (
    "/../../../../etc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/assets/%252e%252e/%252e%252e/etc/passwd",
    "/assets/....//....//etc/passwd",
    "/assets/%00/etc/passwd",
    "//etc/passwd",
    "/v1/models/..%2f..%2faudit",
)


def framing(shop: Shop) -> Outcome:
    """Two servers that disagree about where a request ends let a second one through: ours must see one or none."""
    answers = []
    for fields in _FRAMINGS:
        head = "\r\n".join(["POST /v1/events HTTP/1.1", "Host: localhost", *fields]).encode()
        answers.append(statuses(exchange(shop.port, head + b"\r\n\r\n0\r\n\r\n" + _SMUGGLED)))
    shown = "; ".join(",".join(map(str, each)) or "closed" for each in answers)
    return Outcome(all(set(each) <= _BAD for each in answers), shown)


def line_ends(shop: Shop) -> Outcome:
    """A field that another parser would read as two."""
    fields = ("X-A: 1\nX-B: 2", "X-A: 1\rX-B: 2", "X-A: 1\x00", " X-Folded: 1", "X A: 1")
    found = [statuses(exchange(shop.port, request("GET", "/v1/config", field))) for field in fields]
    return Outcome(all(set(each) <= {400, 401} for each in found), "; ".join(map(str, found)))


def paths(shop: Shop) -> Outcome:
    """Files outside of the page, and routes behind encoded slashes."""
    received = [exchange(shop.port, request("GET", path)) for path in _PATHS]
    leaked = [path for path, answer in zip(_PATHS, received, strict=True) if b"root:" in answer]
    return Outcome(not leaked, f"{len(_PATHS)} paths: {sorted({s for r in received for s in statuses(r)})}")


def hosts(shop: Shop) -> Outcome:
    """A cache in front, or a browser whose DNS was turned (rebinding), must not be led elsewhere."""
    foreign = statuses(exchange(shop.port, f"GET / HTTP/1.1\r\nHost: {_EVIL}\r\nConnection: close\r\n\r\n".encode()))
    forwarded = ("Host", "Proto", "Port", "Prefix")
    fields = [f"X-Forwarded-{name}: {_EVIL}" for name in forwarded] + [f"Forwarded: host={_EVIL}", f"X-Host: {_EVIL}"]
    pages = [exchange(shop.port, request("GET", path, *fields)) for path in ("/", "/v1/session/login", "/docs")]
    led = any(_EVIL.encode() in answer for answer in pages)
    return Outcome(
        foreign == [400] and not led, f"foreign Host: {foreign}; X-Forwarded-*: {'led' if led else 'ignored'}"
    )


def redirects(shop: Shop) -> Outcome:
    """A link to our login that ends at another site."""
    led = []
    for path in (
        f"https://{_EVIL}",
        f"//{_EVIL}",
        f"/\\{_EVIL}",
        f"/%09/{_EVIL}",
        f"/\t/{_EVIL}",
        "javascript:alert(1)",
    ):
        with httpx.Client(base_url=shop.page) as client:
            asked = client.get("/v1/session/login", params={"path": path})
            if asked.status_code == 303:
                led.append(client.get(shop.provider.approve(asked.headers["location"], "anna")).headers["location"])
    foreign = [place for place in led if not place.startswith("/") or place.startswith(("//", "/\\"))]
    return Outcome(not foreign, f"leads to {sorted(set(led))}")


def cors(shop: Shop) -> Outcome:
    """Another site's script reads figures, or sends a purchase with a form's content type."""
    origin = {"Origin": f"https://{_EVIL}", **shop.bearer(Role.ADMIN)}
    read = httpx.get(f"{shop.page}/v1/stats/summary", headers=origin)
    asked = httpx.options(f"{shop.page}/v1/events", headers={**origin, "Access-Control-Request-Method": "POST"})
    form = httpx.post(f"{shop.page}/v1/events", content=b"{}", headers={**origin, "Content-Type": "text/plain"})
    allowed = [name for answer in (read, asked, form) for name in answer.headers if name.startswith("access-control")]
    return Outcome(not allowed and form.status_code == 415, f"no Access-Control-*; a form's body: {form.status_code}")


def compression(shop: Shop) -> Outcome:
    """Bodies that unpack to fifty times what is allowed, in layers, or by another method."""
    zeros = gzip.compress(bytes(200 * _MIB), mtime=0)
    bodies = {"gzip": zeros, "gzip, gzip": gzip.compress(zeros), "deflate": zlib.compress(bytes(_MIB)), "br": b"\x0b"}
    found = [_events(shop, body, **{"Content-Encoding": kind}) for kind, body in bodies.items()]
    found.append(_events(shop, gzip.compress(b"{}") * 1_000, **{"Content-Encoding": "gzip"}))
    return refused(found, _REFUSED)


def nesting(shop: Shop) -> Outcome:
    """Bodies that recurse, or numbers that are worked on for long."""
    deep = b"[" * 2 * _MIB
    digits = b'{"price": ' + b"9" * 2 * _MIB + b"}"
    exponent = b'{"price": 1e999999999, "quantity": 1e999999999}'
    members = b"{" + b",".join(b'"a%d":{}' % number for number in range(200_000)) + b"}"
    return refused([_events(shop, body) for body in (deep, b'{"a":' * 500_000, digits, exponent, members)], _REFUSED)


def oversized(shop: Shop) -> Outcome:
    """Bodies and heads beyond their limits, said and unsaid."""
    large = _events(shop, b"[" + b" " * 5 * _MIB + b"]")
    chunks = b"".join(b"10000\r\n" + bytes(0x10000) + b"\r\n" for _ in range(80)) + b"0\r\n\r\n"
    key = f"Authorization: Bearer {shop.keys[Role.SENDER]}"
    head = request("POST", "/v1/events", key, "Transfer-Encoding: chunked", "Content-Type: application/json")
    unsaid = statuses(exchange(shop.port, head + chunks))
    fields = statuses(exchange(shop.port, request("GET", "/", *(f"X-{n}: 1" for n in range(500)))))
    field = statuses(exchange(shop.port, request("GET", "/", "X-A: " + "x" * 100_000)))
    return refused([large, *unsaid, *fields, *field], frozenset({413, 431}))


def cardinality(shop: Shop) -> Outcome:
    """A series for each route, method or status that a client makes up fills the memory of whoever keeps metrics."""
    before = _series(shop)
    for number in range(200):
        exchange(shop.port, request("GET", f"/made/up/{number}"))
        exchange(shop.port, request(f"VERB{number}", f"/v1/{number}"))
    more = _series(shop) - before
    return Outcome(more < 100, f"400 made up routes and methods: {more} more series")


def log_forging(shop: Shop) -> Outcome:
    """A line of the log that an attacker writes."""
    forged = '%0A{"level": "ERROR", "service": "gateway", "message": "forged"}'
    for role in (Role.ADMIN, Role.SENDER):
        httpx.get(f"{shop.page}/v1/users/{forged}", headers=shop.bearer(role))
        _events(shop, json.dumps([{"order_id": 'x\n{"message": "forged"}', "user_id": "\x1b[2J"}]).encode())
    exchange(
        shop.port,
        request("GET", "/v1/config", 'X-Request-Id: a"}{"message": "forged"', "Authorization: Bearer \x1b[2J"),
    )
    lines = shop.log("gateway").splitlines()
    wrong = [line for line in lines if not line.startswith("{") or "forged" in str(json.loads(line).get("request_id"))]
    control = [line for line in lines if any(ord(each) < 32 for each in line)]
    return Outcome(not wrong and not control, f"{len(lines)} lines, each one JSON object, none forged")


def other_protocols(shop: Shop) -> Outcome:
    """Tunnels, upgrades and methods that trace."""
    found = [
        *statuses(exchange(shop.port, request("CONNECT", f"{_EVIL}:443"))),
        *statuses(exchange(shop.port, request("TRACE", "/"))),
        *statuses(exchange(shop.port, request("GET", "/v1/stats/stream", "Upgrade: websocket", "Connection: Upgrade",
                                              "Sec-WebSocket-Key: eA==", "Sec-WebSocket-Version: 13"))),
        *statuses(exchange(shop.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    ]  # fmt: skip
    return refused(found, _REFUSED)


def pictures(shop: Shop) -> Outcome:
    """The address of a picture that points into the shop's own network."""
    with socket.create_server((LOOPBACK, 0)) as trap:
        inner = f"http://{LOOPBACK}:{trap.getsockname()[1]}"
        product = {"product_name": "x", "image_url": f"{inner}/latest/meta-data/"}
        url, bearer = f"{shop.page}/v1/products/ssrf", shop.bearer(Role.ADMIN)
        put = httpx.put(url, json=product, headers=bearer, timeout=60).status_code
        shown = httpx.get(url, headers=bearer, timeout=60).status_code
        fetched = visited(trap, _FETCH_S)
    policy = httpx.get(f"{shop.page}/", timeout=60).headers["content-security-policy"]
    loads = re.search(r"img-src 'self' data:(;|$)", policy) is None
    said = f"PUT {put}, GET {shown}, {'fetched' if fetched else 'fetched by nobody'} within {_FETCH_S:.0f} s"
    page = "loads any" if loads else "loads none"
    return Outcome(put == 200 and not fetched and not loads, f"{said}; the page {page} from there")


def visited(trap: socket.socket, within_s: float) -> bool:
    """Whether anybody has connected, or does so in time."""
    trap.settimeout(within_s)
    try:
        trap.accept()[0].close()
    except TimeoutError:
        return False
    return True


def _events(shop: Shop, body: bytes, **fields: str) -> int:
    headers = {"Content-Type": "application/json", **shop.bearer(Role.SENDER), **fields}
    return httpx.post(f"{shop.page}/v1/events", content=body, headers=headers, timeout=60).status_code


def _series(shop: Shop) -> int:
    lines = httpx.get(f"{shop.page}/metrics").text.splitlines()
    return sum(not line.startswith("#") for line in lines)


HTTP_ATTEMPTS: Attempts = {
    "smuggling: Content-Length twice, with chunks, odd codings": framing,
    "line ends and control characters in fields": line_ends,
    "paths out of the page's folder": paths,
    "Host and X-Forwarded-* of another site": hosts,
    "open redirect of the login": redirects,
    "another site's script (CORS, forms)": cors,
    "compression bombs": compression,
    "deep and endless JSON": nesting,
    "bodies and heads beyond the limits": oversized,
    "labels of metrics": cardinality,
    "forged lines in the log": log_forging,
    "CONNECT, TRACE, WebSocket, HTTP/2": other_protocols,
    "server side requests by pictures": pictures,
}
