"""Who may come in, made of the settings: keys, login, and the doorkeeper who knows both."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from services.common.redis_client import connect
from services.gateway.access.doorkeeper import Doorkeeper, PageSessions
from services.gateway.access.keys import KeyRing, Note
from services.gateway.login.cookies import Cookies
from services.gateway.login.flow import Login
from services.gateway.login.provider import Provider
from services.gateway.login.sessions import Sessions
from services.gateway.login.settings import origin_of
from services.gateway.settings import GatewaySettings

CALLBACK_PATH = "/v1/session/callback"
_SESSION_SECONDS = 2.0  # for Redis to answer whose a session is


@dataclass(frozen=True, slots=True)
class Admission:
    """Keys and login, None where there are none."""

    doorkeeper: Doorkeeper
    login: Login | None
    keys: KeyRing | None


def open_admission(settings: GatewaySettings, note_keys: Note, stack: AsyncExitStack) -> Admission:
    """Open what the settings name; `stack` closes it. `note_keys` gets changes of the keys. Raises BadKeys."""
    keys = None if settings.api_keys_file is None else KeyRing(settings.api_keys_file, note_keys)
    login = _open_login(settings, stack)
    token, page = settings.admin_token, settings.page_url
    pages = PageSessions(login.sessions, login.cookies, origin_of(page)) if login and page else None
    return Admission(Doorkeeper(token.get_secret_value() if token else None, keys, pages), login, keys)


def _open_login(settings: GatewaySettings, stack: AsyncExitStack) -> Login | None:
    if settings.oidc_issuer is None or settings.page_url is None:
        return None
    redis = connect(settings, socket_connect_timeout=_SESSION_SECONDS, socket_timeout=_SESSION_SECONDS)
    stack.push_async_callback(redis.aclose)
    provider = Provider(settings, settings.page_url.rstrip("/") + CALLBACK_PATH)
    stack.push_async_callback(provider.close)
    cookies = Cookies(secure=settings.page_url.startswith("https:"))
    return Login(provider, Sessions(redis, settings.session_hours), cookies, settings.oidc_issuer)
